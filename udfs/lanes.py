"""Reading ahead: what comes next is read in threads, each with its own open images, while the present is worked on."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from itertools import cycle
from typing import TypeVar

from udfs.images import ImagePool, Opener, OpeningRules
from udfs.scenes import Scene

Work = TypeVar("Work")
Read = TypeVar("Read")


class Lane:
    """A reader: a thread, and images that are opened, read and closed in it alone."""

    def __init__(self, opener: Opener) -> None:
        self.pool, self.thread = ImagePool(opener), ThreadPoolExecutor(1)

    def __enter__(self) -> "Lane":
        return self

    def __exit__(self, *raised: object) -> None:
        self.thread.submit(self.pool.close).result()
        self.thread.shutdown()


def read_ahead(works: Iterator[Work], lanes: list[Lane], read: Callable[[ImagePool, Work], Read]) -> Iterator[tuple[Work, Read]]:
    """Works in their order with what was read for them; each lane reads every len(lanes)-th."""
    waiting: deque[tuple[Work, Future[Read]]] = deque()
    for work, lane in zip(works, cycle(lanes), strict=False):
        waiting.append((work, lane.thread.submit(read, lane.pool, work)))
        if len(waiting) > len(lanes):
            first, reading = waiting.popleft()
            yield first, reading.result()
    for first, reading in waiting:
        yield first, reading.result()


def read_by_rules(
    works: Iterator[Work], read: Callable[[ImagePool, Work], Read], scenes: Mapping[str, Scene], rules: OpeningRules, readers: int
) -> Iterator[tuple[Work, Read]]:
    """`read_ahead` in so many threads, which open what `rules` allow, in the versions of `scenes`, by id, that were planned with."""
    versions = {href: version for scene in scenes.values() for href, version in scene.versions.items()}
    with ExitStack() as stack:
        opener = stack.enter_context(Opener(rules, versions))
        yield from read_ahead(works, [stack.enter_context(Lane(opener)) for _ in range(readers)], read)
