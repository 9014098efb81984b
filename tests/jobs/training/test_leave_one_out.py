"""A region is judged by a course that never saw it; what is done is not done again."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from pyspark.sql import SparkSession

from conf.errors import InputError
from conf.place import Place
from jobs import recipes
from jobs.job import Context
from jobs.training.leave_one_out import LeaveOneOutSettings, leave_one_out, leave_one_out_sources
from tests.jobs.training.test_train_on_tiles import PLACE, RECIPE, tile


def inverted(row: dict[str, Any]) -> dict[str, Any]:
    """Ground where roofs are what is dark: nobody who has not seen it can know."""
    labels = bytes(250 - value for value in row["labels"])
    return {**row, "labels": labels}


def test_each_region_is_judged_by_who_has_not_seen_it(spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(RECIPE))
    monkeypatch.setattr(recipes, "FOLDER", tmp_path)
    place = Place.model_validate({**PLACE, "warehouse": str(tmp_path / "w")})
    context = Context(spark, place, "run", place.folder)
    made = [{**tile(n, split), "region": region} for n, (split, region) in enumerate(_plan())]
    rows = [inverted(row) if row["region"] == "other" else row for row in made]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "tiles.parquet")
    tables = {"training_tiles": spark.read.parquet(str(tmp_path / "tiles.parquet"))}
    with pytest.raises(InputError, match="no ground in moon; there is: flat, l'île/1, other"):
        leave_one_out.run(tables, LeaveOneOutSettings(network="tiny", regions=("moon",)), context)

    leave_one_out.run(tables, LeaveOneOutSettings(network="tiny", regions=("other", "l'île/1"), steps=60), context)
    found = json.loads((place.folder / "evaluation" / "leave_one_out" / "tiny.json").read_text())
    assert found["other"]["pixel_f1"] < 0.2  # a course that had seen it would not be so wrong
    assert found["l_île_1"]["windows"] == 3 and found["other"]["windows"] == 5
    assert 0 < found["l_île_1"]["calibration_error"] < 1
    assert context.figures["pixel_f1_region_other"] == found["other"]["pixel_f1"]

    folder = place.folder / "evaluation" / "leave_one_out" / "tiny"
    (island,) = folder.glob("l_île_1-*.json")
    before = island.stat().st_mtime_ns
    (other,) = folder.glob("other-*.json")
    other.unlink()
    leave_one_out.run(tables, LeaveOneOutSettings(network="tiny", regions=("other", "l'île/1"), steps=60), context)
    assert island.stat().st_mtime_ns == before
    assert json.loads(other.read_text()) == found["other"]
    assert not list(folder.glob("courses/*"))


def _plan() -> list[tuple[str, str]]:
    """Split and region."""
    flat = [("train", "flat")] * 6 + [("choose", "flat")] * 2
    return [*flat, *[("train", "l'île/1")] * 2, ("judge", "l'île/1"), *[("train", "other")] * 4, ("choose", "other")]


def test_recipes_and_regions_are_checked_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("URBANTRACE_DATA", "/data")
    with pytest.raises(InputError, match=r"no ground in moon; there is: .*highland, monsoon, random-31, .*tropical"):
        leave_one_out_sources(None, LeaveOneOutSettings(network="built_up_landsat", regions=("highland", "moon")))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no recipe"):
        leave_one_out_sources(None, LeaveOneOutSettings(network="roads"))  # type: ignore[arg-type]
