"""Labelled windows out of more Parquet than memory holds: a part of them at a time, in an order that a seed fixes."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from conf.errors import InputError
from models.windows import Window, window_of, windows_digest

COLUMNS = ("tile_id", "region", "split", "sensor", "band_names", "bands", "height", "width", "values", "labels", "weights")
"""Of table `training_tiles`, which rows become windows. Older tables tell no sensor."""
BUFFER_BYTES = 2**20


class _Group(NamedTuple):
    """A row group of a file, and how many of its rows are wanted."""

    path: str
    number: int
    rows: int


class _Wanted(NamedTuple):
    """Tiles of a split, of one world region or of all others where such a one is named, and of one layer where it is."""

    split: str
    only: str | None = None
    without: str | None = None
    layer: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Those that tell whether a tile is one of them."""
        return ("split", "region", "layer") if self.layer else ("split", "region")

    def takes(self, split: str, region: str | None, layer: str | None = None) -> bool:
        """Whether a tile is one of them; region None stands for no region declared."""
        fits = split == self.split and (self.only is None or region == self.only) and (self.without is None or region != self.without)
        return fits and self.layer in (None, layer)


class WindowStream:
    """Windows of `training_tiles`, each once in a pass, without end. At most `held` are in memory, and one row group's buffers. Passes
    differ in their order. Files, seed and how far it has moved alone decide which are held."""

    def __init__(
        self, paths: Sequence[str], split: str, bands: Sequence[str], held: int, seed: int | Sequence[int], without: str | None = None
    ) -> None:
        """`bands`: of the windows, in this order; `without`: a world region to leave out. Raises InputError where no tile is left or a
        band is not there."""
        wanted = _Wanted(split, without=without)
        self._groups = [group for path in sorted(paths) for group in _groups(path, wanted)]
        self.count = sum(group.rows for group in self._groups)
        if not self.count:
            raise InputError(f"training_tiles: no tile of {_named(wanted)}; make them with other shares, or with more ground")
        self._most, self._seed = min(held, self.count), seed
        self._reader = _Reader(self._groups, wanted, tuple(bands))
        self._moved = -1
        self.go_to(0)

    def go_to(self, moved: int) -> None:
        """As after the first `moved` windows that took others' places; reads no more than is held then."""
        if moved == self._moved:
            return
        self._moved, self._random = moved, np.random.default_rng(self._seed)
        self._coming = self._places()
        places = [next(self._coming) for _ in range(self._most)]
        for _ in range(moved):
            place = self._drawn()
            places[place] = next(self._coming)
        read = {place: self._reader.window(*place) for place in sorted(places)}
        self._held = [read[place] for place in places]

    def windows(self) -> list[Window]:
        """Those in memory now."""
        return list(self._held)

    def move_on(self, count: int) -> None:
        """Let the next `count` windows take the places of any that are held."""
        for _ in range(count):
            place = self._drawn()
            self._held[place] = self._reader.window(*next(self._coming))
        self._moved += count

    def _drawn(self) -> int:
        return int(self._random.integers(0, self._most))

    def _places(self) -> Iterator[tuple[int, int]]:
        """Number of the group, and of the wanted row in it."""
        while True:
            for number in self._random.permutation(len(self._groups)):
                yield from ((int(number), row) for row in range(self._groups[int(number)].rows))


class _Reader:
    """Windows by place. Those of one group are read in one go where they are asked for in order."""

    def __init__(self, groups: Sequence[_Group], wanted: _Wanted, bands: tuple[str, ...]) -> None:
        self._groups, self._wanted, self._bands = groups, wanted, bands
        self._next = (-1, 0)
        self._rows: Iterator[Window] = iter(())

    def window(self, group: int, row: int) -> Window:
        if self._next[0] != group or self._next[1] > row:
            self._rows, self._next = _read(self._groups[group], self._wanted, self._bands), (group, 0)
        found = next(islice(self._rows, row - self._next[1], None))
        self._next = (group, row + 1)
        return found


def _groups(path: str, wanted: _Wanted) -> list[_Group]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        read = (file.read_row_group(number, list(wanted.columns)).to_pydict() for number in range(file.num_row_groups))
        counts = [sum(map(wanted.takes, *(columns[name] for name in wanted.columns))) for columns in read]
    return [_Group(path, number, count) for number, count in enumerate(counts) if count]


def _read(group: _Group, wanted: _Wanted, bands: tuple[str, ...]) -> Iterator[Window]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(group.path, buffer_size=BUFFER_BYTES) as file:
        columns = [name for name in (*COLUMNS, *wanted.columns) if name in file.schema_arrow.names]
        for batch in file.iter_batches(1, [group.number], list(dict.fromkeys(columns))):
            (row,) = batch.to_pylist()
            if wanted.takes(**{name: row[name] for name in wanted.columns}):
                given = {**row, "source": _source(row), "share": 1.0}
                yield _with_bands(window_of(given), row["band_names"], bands)


def _named(wanted: _Wanted) -> str:
    region = f", region {wanted.only}" if wanted.only else f", other regions than {wanted.without}" if wanted.without else ""
    return f"split {wanted.split}{region}"


def _source(row: dict[str, Any]) -> str:
    return row["tile_id"] if row["region"] is None else f"{row['region']}/{row['tile_id']}"


def _with_bands(window: Window, names: list[str], bands: tuple[str, ...]) -> Window:
    missing = [band for band in bands if band not in names]
    if missing:
        raise InputError(f"training_tiles: no band {missing[0]} in {', '.join(names)}; make them with training_tiles.bands")
    return window if list(bands) == names else window._replace(values=window.values[[names.index(band) for band in bands]])


def regions_in(paths: Sequence[str]) -> set[str]:
    """The world regions of tiles that are not dropped."""
    import pyarrow.parquet as pq

    read = (pq.read_table(path, columns=["region", "split"]).to_pylist() for path in paths)
    return {row["region"] for rows in read for row in rows if row["region"] is not None and row["split"] != "dropped"}


def tiles_digest(paths: Sequence[str]) -> str:
    """sha256, hex, over the labels of all tiles and the images that they are of, in whichever files they lie."""
    import pyarrow.parquet as pq

    found = []
    for path in paths:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(64, columns=["tile_id", "split", "scenes_used", "labels", "weights"]):
                found += [hashlib.sha256(repr(tuple(row.values())).encode()).hexdigest() for row in batch.to_pylist()]
    return hashlib.sha256("".join(sorted(found)).encode()).hexdigest()


def drawn_windows(paths: Sequence[str], layer: str, split: str, bands: Sequence[str], most: int, seed: int) -> list[Window]:
    """At most `most` windows of a layer's split, all over the place: those whose digests with the seed are lowest, in this order, in
    whichever files they lie. No more than these are held. Raises InputError where there is none."""

    def digest(window: Window) -> str:
        return hashlib.sha256(f"{seed} {windows_digest([window])}".encode()).hexdigest()

    found = _first(paths, _Wanted(split, layer=layer), bands, most, digest)
    if not found:
        where = f"layer {layer} in split {split}"
        raise InputError(f"training_tiles: no tile of {where}; make them with other shares, or with smaller blocks")
    return found


def held_windows(
    paths: Sequence[str], split: str, bands: Sequence[str], most: int, only: str | None = None, without: str | None = None
) -> list[Window]:
    """The first `most` windows of a split, by tile, of one world region or of all others where such a one is named: ground to choose on,
    the same for every course."""
    return _first(paths, _Wanted(split, only, without), bands, most, lambda window: window.source)


def _first(paths: Sequence[str], wanted: _Wanted, bands: Sequence[str], most: int, key: Callable[[Window], str]) -> list[Window]:
    """The `most` windows of the lowest keys, in their order; no more than these are held."""
    found: dict[str, Window] = {}
    for path in sorted(paths):
        for group in _groups(path, wanted):
            for window in _read(group, wanted, tuple(bands)):
                found[key(window)] = window
                if len(found) > most:
                    del found[max(found)]
    return [found[name] for name in sorted(found)]
