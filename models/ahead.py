"""Results in order, computed ahead by threads."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Given = TypeVar("Given")
Result = TypeVar("Result")


def ahead(function: Callable[[Given], Result], given: Iterable[Given], threads: int) -> Generator[Result]:
    """As `map`; while a result is used, `threads` compute the next ones, twice as many at most. 0: none is computed before it is asked
    for. `given` is read in this thread; closing the generator ends the others."""
    if not threads:
        yield from map(function, given)
        return
    rest = iter(given)
    with ThreadPoolExecutor(threads) as pool:
        coming: deque[Future[Result]] = deque(pool.submit(function, each) for each in islice(rest, 2 * threads))
        try:
            while coming:
                result = coming.popleft().result()
                coming.extend(pool.submit(function, each) for each in islice(rest, 1))
                yield result
        finally:
            for future in coming:
                future.cancel()
