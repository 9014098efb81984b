"""Labelled windows out of more Parquet than memory holds: a part of them at a time, in an order that a seed fixes."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from conf.errors import InputError
from models.windows import Window, window_of

COLUMNS = ("tile_id", "region", "split", "band_names", "bands", "height", "width", "values", "labels", "weights")
"""Of table `training_tiles`, which rows become windows."""
BUFFER_BYTES = 2**20


class _Group(NamedTuple):
    """A row group of a file, and how many of its rows belong to the split."""

    path: str
    number: int
    rows: int


class WindowStream:
    """Windows of one split of `training_tiles`, each once in a pass, without end. At most `held` are in memory, and one row group's
    buffers. Passes differ in their order; the same seed and files give the same order."""

    def __init__(self, paths: Sequence[str], split: str, bands: Sequence[str], held: int, seed: int) -> None:
        """`bands`: of the windows, in this order. Raises InputError where no row belongs to the split or a band is not there."""
        self._split, self._bands = split, tuple(bands)
        self._groups = [group for path in sorted(paths) for group in _groups(path, split)]
        self.count = sum(group.rows for group in self._groups)
        if not self.count:
            raise InputError(f"training_tiles: no tile of split {split}; make them with other shares, or with more ground")
        self._random = np.random.default_rng(seed)
        self._coming = self._windows()
        self._held = [next(self._coming) for _ in range(min(held, self.count))]

    def windows(self) -> list[Window]:
        """Those in memory now."""
        return list(self._held)

    def move_on(self, count: int) -> None:
        """Let the next `count` windows take the places of any that are held."""
        for place in self._random.integers(0, len(self._held), count):
            self._held[int(place)] = next(self._coming)

    def _windows(self) -> Iterator[Window]:
        while True:
            for number in self._random.permutation(len(self._groups)):
                yield from _read(self._groups[int(number)], self._split, self._bands)


def _groups(path: str, split: str) -> list[_Group]:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        counts = [pc.sum(pc.equal(file.read_row_group(number, ["split"])["split"], split)).as_py() for number in range(file.num_row_groups)]
    return [_Group(path, number, int(count)) for number, count in enumerate(counts) if count]


def _read(group: _Group, split: str, bands: tuple[str, ...]) -> Iterator[Window]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(group.path, buffer_size=BUFFER_BYTES) as file:
        for batch in file.iter_batches(1, [group.number], list(COLUMNS)):
            (row,) = batch.to_pylist()
            if row["split"] == split:
                yield _with_bands(window_of({**row, "source": _source(row), "share": 1.0}), row["band_names"], bands)


def _source(row: dict[str, Any]) -> str:
    return row["tile_id"] if row["region"] is None else f"{row['region']}/{row['tile_id']}"


def _with_bands(window: Window, names: list[str], bands: tuple[str, ...]) -> Window:
    missing = [band for band in bands if band not in names]
    if missing:
        raise InputError(f"training_tiles: no band {missing[0]} in {', '.join(names)}; make them with training_tiles.bands")
    return window if list(bands) == names else window._replace(values=window.values[[names.index(band) for band in bands]])


def tiles_digest(paths: Sequence[str]) -> str:
    """sha256, hex, over the labels of all tiles and the images that they are of, in whichever files they lie."""
    import pyarrow.parquet as pq

    found = []
    for path in paths:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(64, columns=["tile_id", "split", "scenes_used", "labels", "weights"]):
                found += [hashlib.sha256(repr(tuple(row.values())).encode()).hexdigest() for row in batch.to_pylist()]
    return hashlib.sha256("".join(sorted(found)).encode()).hexdigest()


def held_windows(paths: Sequence[str], split: str, bands: Sequence[str], most: int) -> list[Window]:
    """The first `most` windows of a split, by tile: ground to choose on, the same for every course."""
    found: dict[str, Any] = {}
    for path in sorted(paths):
        for group in _groups(path, split):
            for window in _read(group, split, tuple(bands)):
                found[window.source] = window
                if len(found) > most:
                    del found[max(found)]
    return [found[name] for name in sorted(found)]
