"""Windows out of files larger than memory: each once in a pass, in an order that only the seed decides."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conf.errors import InputError
from models.streaming import WindowStream, drawn_windows, held_windows, regions_in, tiles_digest

BANDS, SIDE = 4, 64
LEVELS = np.array([0, 0.25, 0.5, 0.75], np.float16)[:, None, None]


def write_tiles(folder: Path, files: int = 3, rows: int = 40) -> list[str]:
    """Tiles whose values are their number; every third is judged on, every fifth has no arrays."""
    paths = []
    for file in range(files):
        numbers = [file * rows + row for row in range(rows)]
        arrays = [None if n % 5 == 0 else (np.full((BANDS, SIDE, SIDE), n, np.float16) + LEVELS).tobytes() for n in numbers]
        planes = [None if n % 5 == 0 else np.full((SIDE, SIDE), n % 251, np.uint8).tobytes() for n in numbers]
        split = ["dropped" if n % 5 == 0 else "judge" if n % 3 == 0 else "train" for n in numbers]
        shape = {name: pa.array([size] * rows, pa.int32()) for name, size in (("bands", BANDS), ("height", SIDE), ("width", SIDE))}
        table = {
            "tile_id": [f"t{n:04d}" for n in numbers],
            "layer": ["odd" if n % 2 else "even" for n in numbers],
            "region": pa.nulls(rows, pa.string()),
            "split": split,
            "band_names": [["a", "b", "c", "d"]] * rows,
            **shape,
            "values": arrays,
            "labels": planes,
            "weights": planes,
        }
        path = folder / f"{file}.parquet"
        pq.write_table(pa.table(table), path, row_group_size=7)
        paths.append(str(path))
    return paths


def names_of(stream: WindowStream, count: int) -> list[str]:
    """Of the windows that come next; the stream holds one."""
    found = []
    for _ in range(count):
        stream.move_on(1)
        found.append(stream.windows()[0].source)
    return found


def test_each_window_comes_once_in_a_pass_and_passes_differ(tmp_path: Path) -> None:
    paths = write_tiles(tmp_path)
    expected = sorted(f"t{n:04d}" for n in range(120) if n % 5 and n % 3)
    stream = WindowStream(paths, "train", "abcd", 1, 7)
    first = [stream.windows()[0].source, *names_of(stream, stream.count - 1)]
    second = names_of(stream, stream.count)
    assert sorted(first) == sorted(second) == expected
    assert first != second
    again = WindowStream(paths[::-1], "train", "abcd", 1, 7)
    assert [again.windows()[0].source, *names_of(again, again.count - 1)] == first
    other = WindowStream(paths, "train", "abcd", 1, 8)
    assert [other.windows()[0].source, *names_of(other, other.count - 1)] != first


def test_windows_are_their_rows(tmp_path: Path) -> None:
    stream = WindowStream(write_tiles(tmp_path), "judge", "abcd", 1000, 1)
    assert len(stream.windows()) == stream.count == sum(1 for n in range(120) if n % 5 and not n % 3)
    for window in stream.windows():
        number = int(window.source[1:])
        assert window.values.shape == (BANDS, SIDE, SIDE) and (window.values == number + LEVELS).all()
        assert (window.labels == number % 251).all() and window.split == "judge"


def test_those_held_change_little_by_little(tmp_path: Path) -> None:
    stream = WindowStream(write_tiles(tmp_path), "train", "abcd", 10, 3)
    before = [window.source for window in stream.windows()]
    stream.move_on(2)
    after = [window.source for window in stream.windows()]
    assert len(after) == 10 and 1 <= sum(one != other for one, other in zip(before, after, strict=True)) <= 2


@pytest.mark.parametrize("moved", [0, 1, 37, 150])
def test_a_stream_goes_to_where_another_has_moved(tmp_path: Path, moved: int) -> None:
    paths = write_tiles(tmp_path)
    one, other = (WindowStream(paths, "train", "abcd", 10, 3) for _ in range(2))
    one.move_on(moved)
    other.go_to(moved)
    for _ in range(2):
        assert [window.source for window in one.windows()] == [window.source for window in other.windows()]
        one.move_on(70)
        other.move_on(70)
    other.go_to(0)
    assert [window.source for window in other.windows()] == [w.source for w in WindowStream(paths, "train", "abcd", 10, 3).windows()]


def test_a_region_is_left_out_or_taken_alone(tmp_path: Path) -> None:
    (path,), nothing = write_tiles(tmp_path, 1, 4), bytes(SIDE**2)
    arrays = {"split": "train", "values": nothing * 2 * BANDS, "labels": nothing, "weights": nothing}
    regions = ("hills", None, "flat", "hills")
    rows = [{**row, **arrays, "region": region} for row, region in zip(pq.read_table(path).to_pylist(), regions, strict=True)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "r.parquet")
    paths = [str(tmp_path / "r.parquet")]
    stream = WindowStream(paths, "train", "abcd", 9, 1, without="hills")
    assert sorted(window.source for window in stream.windows()) == ["flat/t0002", "t0001"]
    only, others = (held_windows(paths, "train", "abcd", 9, **{kind: "hills"}) for kind in ("only", "without"))
    assert [window.source for window in only] == ["hills/t0000", "hills/t0003"]
    assert len(others) == 2 and regions_in(paths) == {"hills", "flat"}
    with pytest.raises(InputError, match="no tile of split judge, other regions than flat"):
        WindowStream(paths, "judge", "abcd", 9, 1, without="flat")


def test_drawn_windows_are_a_layers_and_all_over_the_files_however_these_are_cut(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    paths = write_tiles(tmp_path)
    drawn = [window.source for window in drawn_windows(paths, "even", "train", "abcd", 12, 1)]
    assert len(set(drawn)) == 12 and all(not int(name[1:]) % 2 and int(name[1:]) % 3 for name in drawn)
    assert {int(name[1:]) // 40 for name in drawn} == {0, 1, 2}
    whole = write_tiles(tmp_path / "one", 1, 120)
    assert [window.source for window in drawn_windows(whole, "even", "train", "abcd", 12, 1)] == drawn
    assert [window.source for window in drawn_windows(paths, "even", "train", "abcd", 12, 2)] != drawn
    with pytest.raises(InputError, match="no tile of layer even in split choose"):
        drawn_windows(paths, "even", "choose", "abcd", 12, 1)


def test_memory_does_not_grow_with_the_files(tmp_path: Path) -> None:
    """Two passes through 40 MB in row groups of 5 MB."""
    values = [np.random.default_rng(n).normal(size=(4, 256, 256)).astype(np.float16).tobytes() for n in range(64)]
    plane = np.zeros((256, 256), np.uint8).tobytes()
    shape = {name: pa.array([size] * 64, pa.int32()) for name, size in (("bands", 4), ("height", 256), ("width", 256))}
    names = [f"t{n}" for n in range(64)]
    table = {
        "tile_id": names,
        "region": pa.nulls(64, pa.string()),
        "split": ["train"] * 64,
        "band_names": [["a", "b", "c", "d"]] * 64,
        **shape,
        "values": values,
        "labels": [plane] * 64,
        "weights": [plane] * 64,
    }
    pq.write_table(pa.table(table), tmp_path / "a.parquet", row_group_size=8)
    del table, values
    pool = pa.system_memory_pool()
    before_pool = pa.default_memory_pool()
    pa.set_memory_pool(pool)
    try:
        start = pool.bytes_allocated()
        stream = WindowStream([str(tmp_path / "a.parquet")], "train", "abcd", 8, 1)
        for _ in range(128):
            stream.move_on(1)
        assert pool.max_memory() - start < 12 * 2**20
    finally:
        pa.set_memory_pool(before_pool)


def test_a_split_without_tiles_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no tile of split choose"):
        WindowStream(write_tiles(tmp_path, 1), "choose", "abcd", 4, 1)


def test_ground_to_choose_on_is_the_same_whatever_the_files_order(tmp_path: Path) -> None:
    paths = write_tiles(tmp_path)
    one, other = (held_windows(given, "judge", "abcd", 6) for given in (paths, paths[::-1]))
    assert [window.source for window in one] == [window.source for window in other] == [f"t{n:04d}" for n in (3, 6, 9, 12, 18, 21)]


def test_bands_are_those_that_are_asked_for_by_name(tmp_path: Path) -> None:
    paths = write_tiles(tmp_path, 1)
    (window,) = held_windows(paths, "judge", ("d", "b"), 1)
    assert window.values[:, 0, 0].tolist() == [3.75, 3.25]
    with pytest.raises(InputError, match="no band B11 in a, b, c, d"):
        WindowStream(paths, "train", ("a", "B11"), 1, 1)


def test_the_digest_is_of_labels_and_images_and_not_of_files(tmp_path: Path) -> None:
    rows = [{"tile_id": f"t{n}", "split": "train", "scenes_used": [f"s{n}"], "labels": bytes([n]), "weights": b"1"} for n in range(9)]
    for name, part in (("a", rows[:4]), ("b", rows[4:]), ("c", rows[::-1]), ("d", [*rows[1:], {**rows[0], "labels": b"x"}])):
        pq.write_table(pa.Table.from_pylist(part), tmp_path / f"{name}.parquet")
    split, whole, other = (tiles_digest([str(tmp_path / f"{name}.parquet") for name in names]) for names in ("ab", "c", "d"))
    assert split == whole != other
