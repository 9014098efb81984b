"""Public data sets of image series with labels, as training windows: SpaceNet 7, WUSU and TSCD, in the layouts that they are given in.

A listing names each image with its labels; a maker reads one of them. Labels of TSCD only tell what differs between two years."""

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyogrio
import rasterio
import rasterio.features
from numpy.typing import NDArray

from conf.errors import InputError
from conf.windows import CHANGES, FULL_LABEL, FULL_WEIGHT

Bytes = NDArray[np.uint8]
SPACENET7 = re.compile(r"global_monthly_(\d{4})_(\d{2})_mosaic_(.+)\.tif$")
WUSU = re.compile(r"(HS|JA)(\d{2})_(\d+)\.tif$")
TSCD = re.compile(r"(\d+)_(\d{4})\.jpg$")
WUSU_BUILDINGS = (2, 3)
"""Classes of low and of high buildings."""
MIDYEAR = "-07-01"
"""Of a year, the date that its windows stand for."""


class Listed(NamedTuple):
    """An image of a data set: `ground` names the site, `labels` the file or files that tell what is built, or what has changed."""

    ground: str
    date: str
    image: str
    labels: tuple[str, ...]


def listed(kind: str, folder: Path, part: str) -> list[Listed]:
    """The images of a part, such as `train`, of a data set (a key of LISTINGS), by ground and date. Raises InputError where there are
    none."""
    found = sorted(LISTINGS[kind](folder / part))
    if not found:
        raise InputError(f"{kind}: no images in {folder / part}; give the folder that holds the data set's parts, and one of them")
    return found


def _spacenet7(folder: Path) -> Iterator[Listed]:
    for path in folder.glob("*/images_masked/global_monthly_*.tif"):
        if named := SPACENET7.search(path.name):
            labels = path.parents[1] / "labels_match" / f"{path.stem}_Buildings.geojson"
            yield Listed(named[3], f"{named[1]}-{named[2]}-01", str(path), (str(labels),))


def _wusu(folder: Path) -> Iterator[Listed]:
    for path in folder.glob("*/imgs/*.tif"):
        if named := WUSU.search(path.name):
            yield Listed(f"{named[1]}_{named[3]}", f"20{named[2]}{MIDYEAR}", str(path), (str(path.parents[1] / "class" / path.name),))


def _tscd(folder: Path) -> Iterator[Listed]:
    years: dict[str, list[int]] = {}
    for path in folder.glob("imgs/*.jpg"):
        if named := TSCD.search(path.name):
            years.setdefault(named[1], []).append(int(named[2]))
    for index, known in years.items():
        known.sort()
        for number, year in enumerate(known):
            steps = pairwise(known[: number + 1])
            labels = tuple(str(folder / "change_labels_adj" / f"{index}_{before}-{after}.jpg") for before, after in steps)
            yield Listed(index, f"{year}{MIDYEAR}", str(folder / "imgs" / f"{index}_{year}.jpg"), labels)


LISTINGS = {"spacenet7": _spacenet7, "wusu": _wusu, "tscd": _tscd}


class Labelled(NamedTuple):
    """An image (bands, height, width) 0-1, NaN = no data; labels and weights as in conf/windows.py; what labels tell."""

    values: NDArray[np.float32]
    labels: Bytes
    weights: Bytes
    tells: str


def labelled_image(order: Mapping[str, Any]) -> Labelled:
    """Of an order with `kind`, `image` and `labels`, as Listed names them. `rows`: first and last row with labels, where given; no others
    are learned from or judged."""
    image, shown, transform, crs = _image(order["image"])
    built = READERS[order["kind"]](order["labels"], image.shape[1:], transform, crs)
    first, last = order.get("rows") or (0, len(built))
    weights = np.where(shown, FULL_WEIGHT, 0).astype(np.uint8)
    weights[:first], weights[last:] = 0, 0
    values = np.where(shown, image.astype(np.float32) / np.float32(255), np.float32(np.nan))
    return Labelled(values, np.where(built, FULL_LABEL, 0).astype(np.uint8), weights, CHANGES if order["kind"] == "tscd" else "")


def _image(path: str) -> tuple[Bytes, NDArray[np.bool_], Any, Any]:
    """Its first three bands, and where the mask or the fourth shows ground. Raises InputError where it is not of bytes."""
    with rasterio.open(path) as file:
        if file.count < 3 or file.dtypes[0] != "uint8":
            raise InputError(f"{path}: {file.count} bands of {file.dtypes[0]}; an image of these sets has red, green and blue as bytes")
        shown = file.dataset_mask() > 0
        if file.count == 4:  # alpha, whether it is called so or not
            shown &= file.read(4) > 0
        return file.read([1, 2, 3]), shown, file.transform, file.crs


def _footprints(paths: tuple[str, ...], shape_yx: tuple[int, int], transform: Any, crs: Any) -> NDArray[np.bool_]:
    """Pixels whose middle lies in a building."""
    shapes = pyogrio.read_dataframe(paths[0], columns=[])
    found = shapes.to_crs(crs).geometry if len(shapes) else shapes.geometry
    burnt = rasterio.features.rasterize(found, shape_yx, transform=transform, dtype="uint8") if len(found) else np.zeros(shape_yx)
    return np.asarray(burnt > 0)


def _classes(paths: tuple[str, ...], shape_yx: tuple[int, int], transform: Any, crs: Any) -> NDArray[np.bool_]:
    with rasterio.open(paths[0]) as file:
        return np.isin(file.read(1), WUSU_BUILDINGS)


def _changed(paths: tuple[str, ...], shape_yx: tuple[int, int], transform: Any, crs: Any) -> NDArray[np.bool_]:
    """Whether ground is not as in the first year, after each of the changes since."""
    result = np.zeros(shape_yx, bool)
    for path in paths:
        with rasterio.open(path) as file:
            result ^= file.read(1) >= 128
    return result


READERS = {"spacenet7": _footprints, "wusu": _classes, "tscd": _changed}
