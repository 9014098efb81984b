"""Files for web maps where there is little to show, or the rows break off."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyogrio
import pytest
import shapely

from udfs.web_files import Tiling, WebMap, web_batches, write_web_files

TILING = Tiling(14, 15, 10**6)
TOLD = WebMap({"attribution": "Ö, 2020"}, True)


def batch(south: float, count: int, **more: list[str]) -> pa.RecordBatch:
    outlines = [shapely.box(10 + number / 10, south, 10.01 + number / 10, south + 1e-3).wkb for number in range(count)]
    return pa.record_batch({
        **more, "building_id": [f"{number}" for number in range(count)], "geometry": pa.array(outlines, pa.binary()),
        "area_m2": [12.0] * count, "confidence": [0.5] * count, "height_m": pa.array([None] * count, pa.float64()),
        "shape": ["raw"] * count, "open_edge": [False] * count,
    })  # fmt: skip


def test_beyond_the_mercator_square_there_are_no_tiles(tmp_path: Path) -> None:
    assert write_web_files(tmp_path / "pole", iter([batch(-89.99, 2)]), TOLD, TILING) == (2, 0)
    assert [path.name for path in (tmp_path / "pole").iterdir()] == ["buildings.fgb"]
    assert pyogrio.read_info(tmp_path / "pole" / "buildings.fgb")["layer_metadata"]["attribution"] == "Ö, 2020"
    assert write_web_files(tmp_path / "town", iter([batch(50.0, 1), batch(-89.99, 2)]), TOLD, TILING) == (3, 1)


def test_rows_that_break_off_leave_the_files_of_before(tmp_path: Path) -> None:
    assert write_web_files(tmp_path, iter([batch(50.0, 3)]), TOLD, TILING) == (3, 3)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def broken() -> Iterator[pa.RecordBatch]:
        yield batch(50.0, 2)
        raise ConnectionError("gone")

    with pytest.raises(RuntimeError, match="batch from stream"):
        write_web_files(tmp_path, broken(), TOLD, TILING)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert sorted(before) == ["buildings.fgb", "buildings.pmtiles"]


def test_a_batch_may_hold_several_maps_and_a_map_several_batches(tmp_path: Path) -> None:
    keys = [("a", "1"), ("a", "1"), ("a", "2"), ("b", "1")]
    layers, epochs = ([key[place] for key in keys] for place in (0, 1))
    batches = [batch(50.0, 4, layer=layers, epoch=epochs), batch(51.0, 2, layer=["b", "b"], epoch=["1", "1"])]
    written = [row for made in web_batches(batches, str(tmp_path), dict.fromkeys(keys, TOLD), TILING) for row in made.to_pylist()]
    assert [tuple(row.values()) for row in written] == [("a", "1", 2, 2), ("a", "2", 1, 1), ("b", "1", 3, 3)]
    assert pyogrio.read_dataframe(tmp_path / "b" / "1" / "buildings.fgb")["building_id"].sort_values().tolist() == ["0", "1", "3"]
