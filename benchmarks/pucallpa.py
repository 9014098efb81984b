"""Pucallpa 1985-2020: whether a river's bars become a city. Changes in ground that never is one, of the series, of its maps, and of an
index with a threshold at each date; curves by district; a picture. Run: python -m benchmarks.pucallpa FOLDER [SECTION.KEY=VALUE ...]"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import rasterio
from deltalake import DeltaTable
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu

from jobs.cli import main as run
from udfs.rasters import NO_DATA, decode_raster

YEARS = tuple(range(1985, 2021, 5))
LARGE_PX = 500
BAR_PX = 8
"""Bars between the arms of a river that moves are narrower than twice this."""
DENSE = 0.7
Mask = NDArray[np.bool_]
Images = NDArray[np.float64]


def main(folder: Path, *assignments: str) -> None:
    images = read_images(Path(os.environ["URBANTRACE_DATA"]))
    place = ["--place", "pucallpa", "--set", f"warehouse={folder}"]
    settings = ("unit_statistics.source=urban_series", *assignments)
    if code := run(["flow", *place, *(word for setting in settings for word in ("--set", setting)), "--recompute"]):
        raise SystemExit(code)
    tables = folder / "pucallpa"
    built = {"series": states_of(tables, "urban_series"), "maps": states_of(tables, "built_up"), "index": index_states(images)}
    ground = {"river bed": river_bed(images), "forest": forest(images)}
    ground["both"] = ground["river bed"] | ground["forest"]
    figures = {f"changed in {name}, {of}": share_changed(states, where) for name, where in ground.items() for of, states in built.items()}
    figures |= {f"built of {of}, pixels": states.sum((1, 2)).tolist() for of, states in built.items()}
    print(json.dumps(figures, indent=1))
    curves(tables).to_csv(folder / "districts.csv")
    draw(images, built["series"], folder / "series.png")


def read_images(data: Path) -> Images:
    """SWIR1, NIR, red, green (8, 4, 377, 697)."""
    return np.stack([rasterio.open(data / f"pucallpa/{year}.tif").read() for year in YEARS]).astype(float)


def river_bed(images: Images) -> Mask:
    """Large waters of any date by MNDWI > 0 (Xu 2006), and what lies between their arms: told by the images, before any map was made."""
    water = mndwi(images) > 0
    labels, _ = ndimage.label(ndimage.binary_opening(water.any(0), np.ones((2, 2))))
    large = np.flatnonzero(np.bincount(labels.ravel()) >= LARGE_PX)
    padded = np.pad(np.isin(labels, large[large > 0]), BAR_PX + 1)
    closed = ndimage.binary_closing(padded, ndimage.generate_binary_structure(2, 1), iterations=BAR_PX)
    return closed[BAR_PX + 1 : -BAR_PX - 1, BAR_PX + 1 : -BAR_PX - 1]


def forest(images: Images) -> Mask:
    """Dense green at every date."""
    return (ndvi(images) > DENSE).all(0)


def ndvi(images: Images) -> Images:
    return (images[:, 1] - images[:, 2]) / (images[:, 1] + images[:, 2] + 1e-9)


def mndwi(images: Images) -> Images:
    return (images[:, 3] - images[:, 0]) / (images[:, 3] + images[:, 0] + 1e-9)


def index_states(images: Images) -> Mask:
    """Otsu's threshold of NDVI at each date, water left out: what has little green counts as built."""
    dry = mndwi(images) <= 0
    return np.stack([land & (green < threshold_otsu(green[land])) for green, land in zip(ndvi(images), dry, strict=True)])


def states_of(tables: Path, name: str) -> Mask:
    """Of table `built_up`, maps by their thresholds, or of `urban_series`."""
    rows = DeltaTable(str(tables / name)).to_pandas()
    states = np.zeros((len(YEARS), 377, 697), bool)
    for row in rows[rows["status"] == "done"].itertuples():
        dated = zip(row.epochs, row.series, strict=True) if name == "urban_series" else [(row.epoch, row.probability)]
        for epoch, one in dated:
            if one is not None:
                values = decode_raster(one, (row.tile_px, row.tile_px))
                _put(states[YEARS.index(int(epoch))], (values >= row.threshold) & (values != NO_DATA), row)
    return states


def _put(whole: Mask, tile: Mask, row: Any) -> None:
    """A native grid begins at its image's corner."""
    top, left = row.row * row.tile_px, row.col * row.tile_px
    part = whole[top : top + row.tile_px, left : left + row.tile_px]
    part[:] = tile[: part.shape[0], : part.shape[1]]


def share_changed(states: Mask, where: Mask) -> float:
    """Of the pixels of some ground, those that change between any two dates."""
    return round(float((states[1:] != states[:-1]).any(0)[where].mean()), 5)


def curves(tables: Path) -> Any:
    """Built-up km2 by district and year."""
    units = DeltaTable(str(tables / "units")).to_pandas().set_index("unit_id")["name"]
    sums = DeltaTable(str(tables / "unit_statistics")).to_pandas()
    sums = sums[sums["valid_m2"] > 0].assign(name=lambda rows: rows["unit_id"].map(units))
    return (sums.pivot_table(index=["unit_id", "name"], columns="epoch", values="built_m2") / 1e6).round(3)


def draw(images: Images, states: Mask, path: Path) -> None:
    """Each date's image with what is built."""
    figure, axes = plt.subplots(4, 2, figsize=(16, 18))
    for axis, image, built, year in zip(axes.ravel(), images, states, YEARS, strict=True):
        axis.imshow(image[:3].transpose(1, 2, 0) / 255)
        axis.contour(built, [0.5], colors="white", linewidths=0.7)
        axis.set_title(f"{year}: {built.sum()} pixels built-up")
        axis.axis("off")
    figure.tight_layout()
    figure.savefig(path, dpi=70)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
