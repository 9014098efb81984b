"""Tiles in quarantine are mapped again and no others; a pilot maps a share, and a flow goes on from it."""

import re
from pathlib import Path
from typing import Any

import deltalake
import pandas as pd
import pytest
import yaml
from pyspark.sql import SparkSession

from conf.errors import InputError
from jobs.cli import main
from jobs.pilot import Stratum, share_of
from tests.images_on_disk import tilted, write
from tests.random_model import BANDS, write_random_model


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """One date over 20 tiles of 256 pixels."""
    images = tmp_path / "images"
    images.mkdir()
    for band, size in (("B02", 1), ("B08", 1), ("B11", 2)):
        write(images / f"d_{band}.tif", tilted(1000 // size, 1250 // size, seed=size), pixel=10.0 * size)
    source = {"sensor": "sentinel2_l2a", "href": f"{images}/d_{{band}}.tif", "datetime": "2020-05-04", "bands": list(BANDS)}
    values = {
        "name": "toy", "warehouse": str(tmp_path / "warehouse"), "grid": "native", "batch_seconds": 3,
        "epochs": [{"name": "2020", "start": "2020-01-01", "end": "2020-12-31", "reference": "2020-07-01"}],
        "layers": {"a": {"sensor": "sentinel2_l2a", "model": write_random_model(tmp_path / "m.safetensors"), "resolution": 10.0}},
        "scenes": {"sources": [source]}, "tiles": {"tile_px": 256},
    }  # fmt: skip
    path = tmp_path / "toy.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


def run(place: Path, *command: str) -> int:
    return main([command[0], "--place", str(place), "--master", "local[2]", *command[1:]])


def ledger(place: Path) -> pd.DataFrame:
    table = deltalake.DeltaTable(str(place.parent / "warehouse" / "toy" / "built_up"))
    return table.to_pandas().sort_values("tile_id").set_index("tile_id")


def test_retry_maps_the_tiles_in_quarantine_and_no_others(spark: SparkSession, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = place.parent / "images" / "d_B08.tif"
    sound = path.read_bytes()
    assert run(place, "scenes") == run(place, "tiles") == 0
    path.write_bytes(sound[:-60_000])
    assert run(place, "built_up") == 3
    before = ledger(place)
    assert set(before.status) == {"quarantined"} and set(before.error_class) == {"changed_source"}
    path.write_bytes(sound)
    assert run(place, "flow") == 3
    assert ledger(place).equals(before)
    assert "retry" in capsys.readouterr().err
    assert run(place, "retry") == 0
    after = ledger(place)
    assert set(after.status) == {"done"} and (after.attempts > before.attempts).all()
    assert run(place, "retry") == 0
    assert "nothing was written" in capsys.readouterr().err
    coverage = pd.read_parquet(place.parent / "warehouse" / "toy" / "coverage" / "coverage.parquet", columns=["status", "attempts"])
    assert set(coverage.status) == {"done"} and sorted(coverage.attempts) == sorted(after.attempts)


def test_a_pilot_says_what_all_cost_and_a_flow_goes_on(spark: SparkSession, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(place, "flow", "--pilot", "30%") == 0
    said = capsys.readouterr().err
    pilot = ledger(place)
    found = re.search(r"pilot, a: (\d+) of 20 tiles mapped.*\n +all of them: (\S+) CPU hours \(standard error (\S+)\)", said)
    assert found is not None and int(found[1]) == len(pilot)
    assert 6 <= len(pilot) <= 12
    assert float(found[2]) * 3600 == pytest.approx(pilot.seconds.mean() * 20, rel=0.6)
    assert "unsure" in said and not (place.parent / "warehouse" / "toy" / "report").exists()
    assert run(place, "flow", "--pilot", "0.3") == 0
    assert "nothing was written" in capsys.readouterr().err
    assert run(place, "flow") == 0
    whole = ledger(place)
    assert len(whole) == 20 and whole.loc[pilot.index].equals(pilot)


def test_the_dry_run_says_bytes_minutes_and_price(spark: SparkSession, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(place, "flow", "--dry-run") == 0
    said = capsys.readouterr().out
    assert re.search(r"a: 20 tiles, 0\.\d{3} GB to read\n.*minutes of one, 0\.\d{4} US\$.*\n.*on GPUs.*assumed", said)
    assert not (place.parent / "warehouse").exists()


@pytest.mark.parametrize("text", ["0", "101%", "-1", "some", "nan"])
def test_shares_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"e\.g\. 1% or 0\.01"):
        share_of(text)


def test_shares_are_written_either_way() -> None:
    assert (share_of("1%"), share_of("0.01"), share_of("100%")) == (0.01, 0.01, 1.0)


def test_the_error_of_a_total_is_that_of_a_stratified_sample() -> None:
    seconds: Any = pd.Series([2.0, 4.0, 9.0])
    stratum = Stratum("a", 1, 30, 3, seconds.mean(), seconds.var())
    assert stratum.total == 150
    assert stratum.error == pytest.approx(30 * (seconds.var() / 3 * (1 - 3 / 30)) ** 0.5)
    assert Stratum("a", 1, 3, 3, 5.0, 13.0).error == 0
