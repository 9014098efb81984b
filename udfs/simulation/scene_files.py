"""The simulated city's images and tables as files: one task a year, one for each aerial image, one for the vectors.

A finished task leaves a marker with the digest of what it was made from; with that and its files there, it is not done again."""

import datetime as dt
import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from conf.settings import digest
from udfs.files import write_cog, write_json, write_text
from udfs.simulation.aerial import render_rgb, rgb_bounds
from udfs.simulation.agenda import sentinel1_date, sentinel2_agenda
from udfs.simulation.catalog import Asset, Image, write_catalog
from udfs.simulation.city import CRS, City, plan_city
from udfs.simulation.districts import units_geojson
from udfs.simulation.footprints import write_footprints, write_sealed
from udfs.simulation.optical import COARSE_BANDS, COARSE_M, DN_OFFSET, DN_PER_UNIT, FINE_BANDS, FINE_M, render_sentinel2
from udfs.simulation.radar import render_sentinel1
from udfs.simulation.truth import building_truth, city_districts, unit_people, unit_truth

DATA_VERSION = 2
"""Raised when a change of code changes files."""
BASELINE = "05.10"
TRUTH_COLUMNS = ("unit_id", "year", "built_m2", "footprint_m2", "total_m2", "people")
YEAR, AERIAL, VECTORS, CATALOG = "year", "aerial", "vectors", "catalog"


class CityFiles(NamedTuple):
    """Which city, and where its files go. `rgb_m`: side of the aerial images, metres."""

    seed: int
    look: str
    size_m: float
    first_year: int
    last_year: int
    rgb_m: float
    rgb_gsd: float
    storage: str

    @property
    def imagery(self) -> Path:
        return Path(self.storage) / "imagery"

    def tasks(self) -> list[tuple[str, int]]:
        """Kind and year of all but the catalog, which comes last: one that exists promises that its images do."""
        years = list(range(self.first_year, self.last_year + 1))
        aerial = sorted({self.first_year, self.last_year})
        return [(VECTORS, self.last_year), *((AERIAL, year) for year in aerial), *((YEAR, year) for year in years)]


@lru_cache(maxsize=1)
def city_of(files: CityFiles) -> City:
    """The planned city, kept by each process."""
    return plan_city(files.seed, files.look, files.size_m, files.first_year, files.last_year)


def done_batches(frames: Iterator[pd.DataFrame], files: CityFiles) -> Iterator[pd.DataFrame]:
    """Rows of tasks (kind, year) in; their files written; rows of unit truth (TRUTH_COLUMNS) out."""
    for frame in frames:
        found = [done(files, str(kind), int(year)) for kind, year in zip(frame["kind"], frame["year"], strict=True)]
        rows = [row for marker in found for row in marker["truth"]]
        yield pd.DataFrame(rows, columns=list(TRUTH_COLUMNS)).astype({"unit_id": object, "year": np.int32})


def truth_batches(frames: Iterator[pd.DataFrame], files: CityFiles) -> Iterator[pd.DataFrame]:
    """For each row in, all rows of `truth_buildings` in chunks."""
    for frame in frames:
        for _ in range(len(frame)):
            rows = building_truth(city_of(files))
            for start in range(0, len(rows), 10_000):
                yield rows.iloc[start : start + 10_000]


def done(files: CityFiles, kind: str, year: int) -> dict[str, Any]:
    """The marker of a task, which is done now unless its files are there; `truth` holds rows of TRUTH_COLUMNS, `files` sizes."""
    path = files.imagery / "done" / f"{kind}-{year}.json"
    made_from = digest([DATA_VERSION, files._replace(storage=""), kind, year])
    if path.is_file():
        marker = dict(json.loads(path.read_text(encoding="utf-8")))
        if marker["digest"] == made_from and all(_size(files, name) == size for name, size in marker["files"].items()):
            return marker
    written, truth = {YEAR: _do_year, AERIAL: _do_aerial, VECTORS: _do_vectors, CATALOG: _do_catalog}[kind](files, year)
    sizes = {name: _size(files, name) for name in sorted(written)}
    write_json(path, {"digest": made_from, "files": sizes, "truth": truth})
    return {"digest": made_from, "files": sizes, "truth": truth}


def _size(files: CityFiles, name: str) -> int:
    path = Path(files.storage) / name
    return path.stat().st_size if path.is_file() else -1


def _do_year(files: CityFiles, year: int) -> tuple[list[str], list[list[Any]]]:
    city = city_of(files)
    written = []
    for image in year_images(city, year):
        folder = files.imagery / image.scene_id
        for asset, bands in _pixels(city, image):
            write_cog(folder / asset.file.removeprefix("./"), bands, asset.bands, CRS, city.transform(asset.gsd), asset.nodata)
            written.append(f"imagery/{image.scene_id}/{asset.file.removeprefix('./')}")
    truth = unit_truth(city, year).assign(year=year)[list(TRUTH_COLUMNS)]
    return written, truth.to_numpy(object).tolist()


def year_images(city: City, year: int) -> list[Image]:
    """The Sentinel-2 and Sentinel-1 scenes of a year."""
    square = (0.0, 0.0, city.size_m, city.size_m)
    scale = 1 / DN_PER_UNIT, -DN_OFFSET / DN_PER_UNIT
    bands = (
        Asset("fine", "./bands_10m.tif", FINE_BANDS, FINE_M, *scale, 0, "uint16"),
        Asset("coarse", "./bands_20m.tif", COARSE_BANDS, COARSE_M, *scale, 0, "uint16"),
        Asset("SCL", "./scl_20m.tif", ("SCL",), COARSE_M, 1.0, 0.0, 0, "uint8"),
    )
    images = []
    for when, cover, _ in sentinel2_agenda(city, year):
        properties = {"eo:cloud_cover": round(cover * 100, 1), "s2:processing_baseline": BASELINE, "platform": "simulated-2"}
        stamp = dt.datetime(when.year, when.month, when.day, 8, 2, 11, tzinfo=dt.UTC)
        images.append(Image(f"S2_{when:%Y%m%d}", "sentinel2_l2a", stamp, square, bands, properties))
    when = sentinel1_date(city, year)
    radar = (Asset("backscatter", "./backscatter_10m.tif", ("VV", "VH"), FINE_M, 1.0, 0.0, None, "float32"),)
    stamp = dt.datetime(when.year, when.month, when.day, 3, 14, 5, tzinfo=dt.UTC)
    return [*images, Image(f"S1_{when:%Y%m%d}", "sentinel1_grd", stamp, square, radar, {"platform": "simulated-1"})]


def _pixels(city: City, image: Image) -> Iterator[tuple[Asset, list[Any]]]:
    when = image.when.date()
    if image.sensor == "sentinel1_grd":
        radar = render_sentinel1(city, when)
        yield image.assets[0], [radar[name] for name in image.assets[0].bands]
        return
    taken = next(shot for shot in sentinel2_agenda(city, when.year) if shot.when == when)
    optical = render_sentinel2(city, *taken)
    for asset in image.assets:
        yield asset, [optical.scl] if asset.key == "SCL" else [optical.bands[name] for name in asset.bands]


def aerial_image(city: City, files: CityFiles, year: int) -> Image:
    """The aerial scene of a year: the same square in each."""
    asset = Asset("colour", "./rgb.tif", ("red", "green", "blue"), files.rgb_gsd, 1 / 255, 0.0, None, "uint8")
    stamp = dt.datetime(year, 7, 3, 9, 30, tzinfo=dt.UTC)
    return Image(f"RGB_{year}", "rgb", stamp, rgb_bounds(city, files.rgb_m), (asset,), {"platform": "simulated-aircraft"})


def _do_aerial(files: CityFiles, year: int) -> tuple[list[str], list[list[Any]]]:
    city = city_of(files)
    image = aerial_image(city, files, year)
    west, _, _, north = image.bounds
    here = city.transform(files.rgb_gsd, west, north)
    pixels = render_rgb(city, image.bounds, year, files.rgb_gsd)
    write_cog(files.imagery / image.scene_id / "rgb.tif", list(pixels), image.assets[0].bands, CRS, here, None)
    return [f"imagery/{image.scene_id}/rgb.tif"], []


def _do_vectors(files: CityFiles, year: int) -> tuple[list[str], list[list[Any]]]:
    """Units, population and label layers."""
    city, storage = city_of(files), Path(files.storage)
    districts = city_districts(city)
    write_json(storage / "units.geojson", units_geojson(city, districts))
    lines = ["unit_id,year,people"]
    for census in range(files.first_year, files.last_year + 1):
        people = zip(districts.unit_id, unit_people(city, census), districts.leaf, strict=True)
        lines += [f"{unit},{census},{count:.0f}" for unit, count, leaf in people if leaf]
    write_text(storage / "population.csv", "\n".join(lines) + "\n")
    write_footprints(storage / "footprints", city, year)
    write_sealed(storage / "footprints" / "sealed_surfaces_10m.tif", city, year)
    return ["units.geojson", "population.csv", "footprints/dataset-links.csv", "footprints/sealed_surfaces_10m.tif"], []


def _do_catalog(files: CityFiles, year: int) -> tuple[list[str], list[list[Any]]]:
    city = city_of(files)
    images = [image for each in range(files.first_year, files.last_year + 1) for image in year_images(city, each)]
    images += [aerial_image(city, files, each) for each in sorted({files.first_year, files.last_year})]
    write_catalog(files.imagery, city, images)
    return ["imagery/catalog.json"], []
