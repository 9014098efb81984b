"""A run keeps the model that it began with: its alias may move, its rows do not."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from conf.errors import InputError
from conf.place import Place
from jobs.job import declared_jobs
from jobs.runner import Runner, prepare
from jobs.tracking import tracking_uri
from jobs.warehouse import Warehouse
from models.bundle import read_spec, read_tensors, write_bundle
from models.registry import make_champion, register_model
from tests.images_on_disk import tilted, write
from tests.jobs.mapping.test_built_up import place_with
from tests.random_model import BANDS, write_random_model


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Two tiles, a batch each."""
    for day in ("20190501", "20190902", "20210703"):
        for band in BANDS:
            write(tmp_path / f"{day}_{band}.tif", tilted(300, 560), pixel=10.0)
    made = place_with("models:/random@champion", tmp_path / "w", tmp_path)
    return made.model_copy(update={"batch_seconds": 1e-6, "epochs": made.epochs[:1]})


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")
def test_an_alias_that_moves_during_a_run_changes_nothing_in_it(spark: SparkSession, place: Place, tmp_path: Path) -> None:
    first, second = (tmp_path / name / "model.safetensors" for name in ("one", "two"))
    first.parent.mkdir()
    write_random_model(first)
    write_bundle(second, replace(read_spec(first), threshold=0.6), read_tensors(first.read_bytes(), first))
    uri, artifacts = tracking_uri(place), str(tmp_path / "a")
    (tmp_path / "w").mkdir()
    old = register_model(uri, artifacts, first, {}, {})
    new = register_model(uri, artifacts, second, {}, {})
    jobs, calls = declared_jobs(), itertools.count()

    def moving(*arguments):
        result = jobs["built_up"].run(*arguments)
        if next(calls) == 0:
            make_champion(uri, new)
        return result

    wanted = {name: jobs[name] for name in ("scenes", "tiles")} | {"built_up": replace(jobs["built_up"], run=moving)}

    def run(recompute: bool = False) -> None:
        Runner(spark, place, wanted, recompute).run([prepare(item, place) for item in wanted.values()], lambda summary: None)

    run()
    assert next(calls) == 2, "two batches"
    warehouse = Warehouse(spark, place.folder)
    built = ("model_version", "model_sha256", "threshold")
    assert warehouse.read("built_up").select(*built).distinct().collect() == [("1", old.sha256, 100)]
    runs = warehouse.read("runs").where("job = 'built_up'").select("model_sha256", "device_class").collect()
    assert runs == [(old.sha256, "cpu")]

    with pytest.raises(InputError, match=r"sha256.*--recompute"):
        run()
    assert warehouse.read("built_up").select(*built).distinct().collect() == [("1", old.sha256, 100)]
    run(recompute=True)
    assert warehouse.read("built_up").select(*built).distinct().collect() == [("2", new.sha256, 150)]
