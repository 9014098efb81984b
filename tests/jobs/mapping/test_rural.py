"""Where there is next to nothing built, the shipped network finds next to nothing: BigEarthNet's rural images, one under snow."""

import datetime as dt
from pathlib import Path

from pyspark.sql import SparkSession

from conf.place import Epoch, Layer, Place, Source
from jobs.job import Context
from jobs.mapping.built_up import BuiltUpSettings, built_up
from jobs.mapping.scenes import ScenesSettings, scenes
from jobs.mapping.tiles import TilesSettings, tiles
from models.registry import shipped_models
from udfs.rasters import NO_DATA, decode_raster

LAYER, TILE_PX, SIDE = "built_up_10m", 256, 120
EPOCHS = tuple(
    Epoch(name=str(year), start=dt.date(year, 1, 1), end=dt.date(year, 12, 31), reference=dt.date(year, 7, 1)) for year in (2017, 2018)
)


def rural_sources(folder: Path) -> tuple[Source, ...]:
    """A band a file; the folder's name tells the date."""
    return tuple(
        Source(
            sensor="sentinel2_l2a", href=f"{image}/{image.name}_{{band}}.tif", scene_id=image.name,
            datetime=dt.datetime.strptime(image.name.split("_")[2][:8], "%Y%m%d").date(),
        )
        for image in sorted((folder / "bigearthnet_pairs/BigEarthNet-S2-Example").iterdir())
    )  # fmt: skip


def test_less_than_one_pixel_in_a_hundred_of_rural_images_is_built_up(spark: SparkSession, real_data: Path, tmp_path: Path) -> None:
    """In three zones; the images hold a few farms and roads, which count."""
    pin = shipped_models()[LAYER]
    layer = Layer(sensor="sentinel2_l2a", model=f"{pin.path}#sha256={pin.sha256}", resolution=10.0)
    settings = ScenesSettings(sources=rural_sources(real_data))
    sections = {"scenes": {"sources": [source.model_dump(mode="json", exclude_defaults=True) for source in settings.sources]}}
    place = Place(name="rural", warehouse=str(tmp_path), epochs=EPOCHS, layers={LAYER: layer}, sections=sections)
    context = Context(spark, place, "run", place.folder)
    found = scenes.run({}, settings, context).persist()
    plan = tiles.run({"scenes": found}, TilesSettings(tile_px=TILE_PX), context).persist()
    rows = built_up.run({"scenes": found, "planned": plan}, BuiltUpSettings(), context).collect()
    assert found.count() == 6
    assert "quarantined" not in {row["status"] for row in rows}
    valid, built = dict.fromkeys((epoch.name for epoch in EPOCHS), 0), dict.fromkeys((epoch.name for epoch in EPOCHS), 0)
    for row in (row for row in rows if row["status"] == "done"):
        probability = decode_raster(row["probability"], (TILE_PX, TILE_PX))
        valid[row["epoch"]] += int((probability != NO_DATA).sum())
        built[row["epoch"]] += int(((probability >= row["threshold"]) & (probability != NO_DATA)).sum())
    zeros = 9  # pixels whose DN is 0, no data, in some band
    assert sum(valid.values()) == 6 * SIDE**2 - zeros
    shares = {name: built[name] / valid[name] for name in valid}
    assert sum(built.values()) < 0.01 * sum(valid.values()), shares
