"""scenes, tiles and built_up together: every planned tile has a row, and no cutting of the work shows in it."""

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import shapely
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from conf.errors import InputError
from conf.place import Epoch, Layer, Place, Source
from conf.tables import TABLES
from jobs.job import Context
from jobs.mapping.built_up import BuiltUpSettings, built_up, layer_digests, model_sources, recipe_of
from jobs.mapping.scenes import ScenesSettings, scene_sources, scenes
from jobs.mapping.tiles import TilesSettings, tiles
from jobs.table_checks import check_rows, check_schema
from models.bundle import read_spec, read_tensors, write_bundle
from models.registry import file_sha256
from tests.images_on_disk import ORIGIN, tilted, write
from tests.jobs.toy_place import refused
from tests.random_model import BANDS, write_random_model
from udfs.rasters import NO_DATA, decode_raster
from udfs.simulation.catalog import PRODUCER

EPOCHS = tuple(
    Epoch(name=str(year), start=dt.date(year, 1, 1), end=dt.date(year, 12, 31), reference=dt.date(year, 7, 1))
    for year in (2019, 2020, 2021)
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small network with random weights."""
    return write_random_model(tmp_path_factory.mktemp("model") / "random.safetensors")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two dates in 2019, the second reaching one tile further east; one in 2021; none in 2020."""
    folder = tmp_path_factory.mktemp("images")
    for number, (day, width) in enumerate((("20190501", 500), ("20190902", 560), ("20210703", 500))):
        for band, side, size in (("B02", 10.0, 1), ("B08", 10.0, 1), ("B11", 20.0, 2)):
            write(folder / f"{day}_{band}.tif", tilted(400 // size, width // size, seed=number), pixel=side)
    return folder


def settings_of(folder: Path, *days: str) -> ScenesSettings:
    def source(day: str) -> Source:
        return Source(
            sensor="sentinel2_l2a", href=str(folder / f"{day}_{{band}}.tif"), bands=BANDS, scene_id=f"s{day}",
            datetime=dt.date(int(day[:4]), int(day[4:6]), int(day[6:])),
        )  # fmt: skip

    return ScenesSettings(sources=tuple(source(day) for day in days or ("20190501", "20190902", "20210703")))


def place_with(model: str, folder: Path, images: Path, **layer: Any) -> Place:
    values = {"sensor": "sentinel2_l2a", "model": model, "resolution": 10.0, **layer}
    sections = {"scenes": {"sources": [source.model_dump(mode="json", exclude_defaults=True) for source in settings_of(images).sources]}}
    return Place(name="test", warehouse=str(folder), grid="native", epochs=EPOCHS, layers={"a": Layer(**values)}, sections=sections)


def planned(spark: SparkSession, place: Place, images: Path, tile_px: int) -> tuple[DataFrame, DataFrame]:
    context = Context(spark, place, "run", place.folder)
    found = scenes.run({}, settings_of(images), context).persist()
    check_schema(found, TABLES["scenes"])
    plan = tiles.run({"scenes": found}, TilesSettings(tile_px=tile_px), context).persist()
    executed = plan._jdf.queryExecution().executedPlan().toString()
    assert "BroadcastIndexJoin" in executed or "RangeJoin" in executed, "tiles and scenes join by Sedona's index"
    assert "NestedLoop" not in executed and "Cartesian" not in executed
    check_schema(plan, TABLES["tiles"])
    assert check_rows(plan, TABLES["tiles"]) == plan.count()
    return found, plan


def mapped(spark: SparkSession, place: Place, found: DataFrame, plan: DataFrame, **settings: Any) -> list[Any]:
    context = Context(spark, place, "run", place.folder)
    result = built_up.run({"scenes": found, "planned": plan}, BuiltUpSettings(**settings), context)
    filled = result.withColumn("input_digest", F.lit("d")).withColumn("run_id", F.lit("r")).select(*TABLES["built_up"].names)
    check_schema(filled, TABLES["built_up"])
    rows = filled.persist()
    check_rows(rows, TABLES["built_up"])
    return sorted(rows.collect(), key=lambda row: (row["epoch"], row["tile_id"]))


def identity(rows: list[Any]) -> list[tuple[Any, ...]]:
    return [tuple(row[column.name] for column in TABLES["built_up"].identity) for row in rows]


def test_every_tile_of_every_epoch_has_a_row_whatever_the_partitions(spark: SparkSession, model: str, images: Path, tmp_path: Path) -> None:
    place = place_with(model, tmp_path, images)
    found, plan = planned(spark, place, images, 256)
    assert plan.count() == 3 * 6
    one, seven = (mapped(spark, place, found, plan, partitions=partitions) for partitions in (1, 7))
    assert identity(one) == identity(seven)
    statuses = {epoch.name: {row["status"] for row in one if row["epoch"] == epoch.name} for epoch in EPOCHS}
    assert statuses["2020"] == {"nodata"}
    assert "done" in statuses["2019"] and "quarantined" not in statuses["2019"] | statuses["2021"]
    assert {row["threshold"] for row in one} == {100}
    assert {row["settings_digest"] for row in one} == {layer_digests(place, BuiltUpSettings())["a"]}
    west = next(row for row in one if (row["epoch"], row["row"], row["col"]) == ("2019", 0, 0))
    assert west["scenes_used"] == ["s20190501", "s20190902"]
    assert (west["first_date"], west["last_date"]) == (dt.datetime(2019, 5, 1), dt.datetime(2019, 9, 2))


def test_a_network_that_knows_no_real_place_is_told_in_rows_and_notes(
    spark: SparkSession, model: str, images: Path, tmp_path: Path
) -> None:
    place = place_with(model, tmp_path, images)
    found, plan = planned(spark, place, images, 512)
    context = Context(spark, place, "run", place.folder)
    for _ in range(2):
        rows = built_up.run({"scenes": found, "planned": plan}, BuiltUpSettings(), context).select("model_labels").distinct().collect()
        assert [row[0] for row in rows] == ["unknown"]
    assert len(context.notes) == 1 and context.notes[0].startswith("layer a: model random version ")
    simulated = Context(spark, place, "run", place.folder)
    built_up.run({"scenes": found.withColumn("attribution", F.lit(PRODUCER)), "planned": plan}, BuiltUpSettings(), simulated)
    assert not simulated.notes


def test_settings_decide_the_digest(model: str, tmp_path: Path, images: Path) -> None:
    place = place_with(model, tmp_path, images)
    base = layer_digests(place, BuiltUpSettings())["a"]
    changes: list[dict[str, Any]] = [{"composite": "latest"}, {"min_clear": 0.1}, {"batch": 2}, {"threads": 2}, {"backend": "cuda"}]
    assert len({base, *(layer_digests(place, BuiltUpSettings(**change))["a"] for change in changes)}) == len(changes) + 1
    assert layer_digests(place, BuiltUpSettings(partitions=5))["a"] == base
    assert layer_digests(place_with(model, tmp_path, images, threshold=0.7), BuiltUpSettings())["a"] != base


def test_model_must_suit_its_layer(model: str, tmp_path: Path, images: Path) -> None:
    with pytest.raises(InputError, match="sentinel2_l2a"):
        model_sources(place_with(model, tmp_path, images, sensor="rgb"), BuiltUpSettings())
    with pytest.raises(InputError, match="pixels of 20 m"):
        model_sources(place_with(model, tmp_path, images, resolution=20.0).model_copy(update={"grid": "utm"}), BuiltUpSettings())


def test_a_world_region_takes_the_models_threshold_for_it(model: str, tmp_path: Path, images: Path) -> None:
    given = Path(model.partition("#")[0])
    told = tmp_path / "told.safetensors"
    write_bundle(told, replace(read_spec(given), thresholds={"sahel": 0.3, "andes": 0.62}), read_tensors(given.read_bytes(), given))
    uri = f"{told}#sha256={file_sha256(told)}"
    thresholds = {}
    for region, threshold in ((None, None), ("andes", None), ("andes", 0.5)):
        place = place_with(uri, tmp_path / "w", images, world_region=region, threshold=threshold)
        recipe = recipe_of("a", BuiltUpSettings(), Context(None, place, "run", place.folder))  # type: ignore[arg-type]
        thresholds[region, threshold] = (recipe.threshold, recipe.settings_digest)
    assert [value for value, _ in thresholds.values()] == [100, 155, 125]
    assert len({digest for _, digest in thresholds.values()}) == 3
    with pytest.raises(InputError, match=r"no threshold for world region sahara, but for: andes, sahel; leave layers\.a\.world_region out"):
        model_sources(place_with(uri, tmp_path, images, world_region="sahara"), BuiltUpSettings())
    with pytest.raises(InputError, match="but for: none"):
        model_sources(place_with(model, tmp_path, images, world_region="andes"), BuiltUpSettings())


def test_sources_check_before_anything_is_written(images: Path, model: str, tmp_path: Path) -> None:
    place = place_with(model, tmp_path, images)
    assert len(scene_sources(place, settings_of(images))["bounds"]) == 4
    write(tmp_path / "20190501_B02.tif", tilted(130, 130), crs=None)
    for band in BANDS[1:]:
        write(tmp_path / f"20190501_{band}.tif", tilted(130, 130), crs=None)
    with pytest.raises(InputError, match="no CRS"):
        scene_sources(place, settings_of(tmp_path, "20190501"))
    pending = ScenesSettings(sources=(Source(stac="{storage}/imagery/catalog.json"),))
    assert scene_sources(place, pending) == {"pending": True}
    assert not place.folder.exists()


def polygons(path: Path, *boxes: tuple[int, int, int, int], crs: str = "EPSG:32725") -> str:
    """A file of boxes: left, top, right and bottom pixel."""
    x, y = ORIGIN
    wkb = shapely.to_wkb([shapely.box(x + 10 * w, y - 10 * s, x + 10 * e, y - 10 * n) for w, n, e, s in boxes])
    pyogrio.raw.write(path, np.array(wkb, object), [], [], geometry_type="Polygon", crs=crs)
    return str(path)


def test_masks_reach_the_rows_and_their_digest(spark: SparkSession, model: str, images: Path, tmp_path: Path) -> None:
    place = place_with(model, tmp_path, images)
    found, plan = planned(spark, place, images, 256)
    # All of the first tile and a piece of the next; a pond in that, which overlaps.
    ground, pond = (polygons(tmp_path / name, box) for name, box in (("a.gpkg", (-2, -2, 301, 256)), ("b.gpkg", (290, 7, 333, 90))))
    masks = {"exclude_path": ground, "water_path": pond}
    before, after = ({(r["epoch"], r["row"], r["col"]): r for r in mapped(spark, place, found, plan, **more)} for more in ({}, masks))
    assert {row["settings_digest"] for row in after.values()} == {layer_digests(place, BuiltUpSettings(**masks))["a"]}
    assert before.keys() == after.keys()
    assert (after["2019", 0, 0]["status"], after["2019", 0, 0]["valid_share"]) == ("nodata", 0.0)
    east, masked = (decode_raster(rows["2019", 0, 1]["probability"], (256, 256)) for rows in (before, after))
    expected = east.copy()
    expected[7:90, 34:77] = 0
    expected[:, :45] = NO_DATA
    np.testing.assert_array_equal(masked, expected)
    assert after["2019", 0, 1]["valid_share"] == (expected != NO_DATA).mean() < before["2019", 0, 1]["valid_share"]
    assert after["2019", 1, 1]["probability"] == before["2019", 1, 1]["probability"]


def test_masks_are_in_the_digest_by_their_content_and_not_by_their_paths(model: str, tmp_path: Path, images: Path) -> None:
    place = place_with(model, tmp_path, images)

    def digest_of(**settings: Any) -> str:
        return layer_digests(place, BuiltUpSettings(**settings))["a"]

    first, again = (polygons(tmp_path / name, (1, 2, 30, 40)) for name in ("a.geojson", "b.geojson"))
    other, degrees = polygons(tmp_path / "c.geojson", (1, 2, 30, 41)), polygons(tmp_path / "d.geojson", (1, 2, 30, 40), crs="EPSG:32724")
    base, excluded = digest_of(), digest_of(exclude_path=first)
    different = [digest_of(water_path=first), digest_of(exclude_path=other), digest_of(exclude_path=degrees), digest_of(water=True)]
    assert len({base, excluded, digest_of(water=True, water_share=0.6), *different}) == 7
    assert digest_of(water_share=0.6) == base, "it is not used"
    Path(again).write_bytes(Path(first).read_bytes())
    assert digest_of(exclude_path=again) == excluded
    Path(again).write_bytes(Path(other).read_bytes())
    assert digest_of(exclude_path=again) == digest_of(exclude_path=other)
    assert model_sources(place, BuiltUpSettings(exclude_path=first)).keys() == {"a", "built_up.exclude_path"}


def test_masks_that_are_not_asked_for_leave_older_tables_alone() -> None:
    asked = BuiltUpSettings(water=True, water_path="a", exclude_path="b").digested()
    added = {name: asked[name] for name in asked.keys() - BuiltUpSettings().digested().keys()}
    assert added == {"water": True, "water_share": 0.5, "water_path": True, "exclude_path": True}


def test_paths_of_masks_may_lie_in_the_places_folder(model: str, tmp_path: Path, images: Path) -> None:
    place = place_with(model, tmp_path, images)
    place.folder.mkdir()
    polygons(place.folder / "water.gpkg", (1, 2, 3, 4))
    assert "built_up.water_path" in model_sources(place, BuiltUpSettings(water_path="{storage}/water.gpkg"))


@pytest.mark.parametrize("job", ["flow", "built_up"])
def test_masks_that_are_wrong(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, place_file: Callable[..., str], monkeypatch: pytest.MonkeyPatch, job: str
) -> None:
    monkeypatch.setenv("MASKS", str(tmp_path))
    (tmp_path / "page.gpkg").write_text("<html>busy</html>")
    bare = Path(polygons(tmp_path / "bare.shp", (1, 2, 3, 4)))
    bare.with_suffix(".prj").unlink()
    pyogrio.raw.write(
        tmp_path / "lines.gpkg", np.array([shapely.to_wkb(shapely.LineString([(0, 0), (1, 1)]))], object), [], [],
        geometry_type="LineString", crs="EPSG:4326",
    )  # fmt: skip
    wrong = {"none.gpkg": "no such file", "page.gpkg": "cannot be read", bare.name: "no CRS", "lines.gpkg": "no polygon"}
    for name, says in wrong.items():
        for setting in ("water_path", "exclude_path"):
            error = refused(capsys, tmp_path / "warehouse", job, "--place", place_file(built_up={setting: f"${{MASKS}}/{name}"}))
            assert says in error and f"built_up.{setting}" in error
    assert "no class of water" in refused(capsys, tmp_path / "warehouse", job, "--place", place_file(), "--set", "built_up.water=true")
