"""Building footprints out of the files in which they are published: Microsoft's, Google's, or any vector file."""

import csv
import datetime as dt
import hashlib
import io
import json
import math
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from shapely.errors import ShapelyError  # type: ignore[attr-defined]

from conf.errors import InputError, ReadError
from conf.table import BBOX
from udfs.areas import vector_frame
from udfs.images import Opener, OpeningRules
from udfs.units import POLYGONAL, polygons_only

ROWS_AT_ONCE = 20_000
FILES_DDL = "kind string, href string, label_date date"
FOOTPRINTS_DDL = (
    "footprint_id string, source string, geometry binary, xmin double, ymin double, xmax double, ymax double, confidence double, "
    "label_date date"
)
BOX_SLACK = 1e-4
"""Degrees: boxes may be in single precision."""
MOST_LINE_BYTES = 2**24
MOST_INDEX_BYTES = 256 * 2**20


class File(NamedTuple):
    """A file of footprints. `ground`: polygon, EPSG:4326, outside of which it holds none; None: not told. `label_date`: the day by
    which its buildings stood, None: not told."""

    href: str
    ground: Any = None
    label_date: dt.date | None = None


class Footprints(NamedTuple):
    """Polygons, EPSG:4326, as a file has them, None where it has none, and confidence 0-1, NaN where it tells none; both (n,)."""

    shapes: NDArray[np.object_]
    confidence: NDArray[np.float64]


def microsoft_files(index: str, locations: tuple[str, ...] = ()) -> list[File]:
    """Files of Microsoft's index dataset-links.csv (Location, QuadKey, Url, UploadDate), of these locations if any are named.

    Raises InputError on another header or an unknown location.
    """
    rows = list(csv.DictReader(io.StringIO(index)))
    missing = sorted({"Location", "QuadKey", "Url"} - set(rows[0] if rows else ()))
    if missing:
        raise InputError(f"Microsoft's index has no column {', '.join(missing)}; give dataset-links.csv of GlobalMLBuildingFootprints")
    unknown = sorted(set(locations) - {row["Location"] for row in rows})
    if unknown:
        raise InputError(f"footprints: Microsoft's index has no location {unknown[0]}; see its column Location")
    chosen = [row for row in rows if not locations or row["Location"] in locations]
    return [File(row["Url"], quadkey_box(row["QuadKey"]), _day(row.get("UploadDate"))) for row in chosen]


def google_files(index: str) -> list[File]:
    """Files of Google's index tiles.geojson, each feature with `tile_url`. Raises InputError where it has none."""
    try:
        features = json.loads(index)["features"]
        return [File(each["properties"]["tile_url"], shapely.from_geojson(json.dumps(each["geometry"]))) for each in features]
    except (ValueError, KeyError, TypeError, ShapelyError) as error:
        raise InputError(f"Google's index is no GeoJSON with tile_url ({error}); give tiles.geojson of Open Buildings") from None


def quadkey_box(key: str) -> Any:
    """The square of the Web Mercator pyramid that a quadkey names, EPSG:4326. Raises InputError.

    Bing Maps Tile System: each digit is a level, its bits the column and the row from the north.
    """
    if not key or set(key) - set("0123"):
        raise InputError(f"quadkey {key!r}: digits 0 to 3 are expected; the index must be read as text")
    column, row = (int("".join(str(int(digit) >> bit & 1) for digit in key), 2) for bit in (0, 1))
    side = 2 ** len(key)
    west, east = (360 * edge / side - 180 for edge in (column, column + 1))
    north, south = (math.degrees(math.atan(math.sinh(math.pi * (1 - 2 * edge / side)))) for edge in (row, row + 1))
    return shapely.box(west, south, east, north)


def read_microsoft(stream: BinaryIO) -> Iterator[Footprints]:
    """Lines of GeoJSON features, `confidence` -1 where it is not told. Raises ReadError on a line that can be no building."""
    lines = iter(lambda: stream.readline(MOST_LINE_BYTES), b"")
    while batch := list(islice(lines, ROWS_AT_ONCE)):
        if len(max(batch, key=len)) == MOST_LINE_BYTES:
            raise ReadError("corrupt", f"a line of {MOST_LINE_BYTES} bytes or more is no building; fetch the file again")
        shapes = _parsed(shapely.from_geojson, np.array([line.decode("utf-8", "replace") for line in batch], object))
        yield Footprints(shapes, np.array([_confidence(line) for line in batch]))


def _confidence(line: bytes) -> float:
    """NaN where it is not told, or the line is no feature: that has no outline either, and is counted."""
    try:
        told = (json.loads(line).get("properties") or {}).get("confidence")
        return float(told) if told is not None and told >= 0 else math.nan
    except (ValueError, AttributeError, TypeError):
        return math.nan


def read_google(stream: BinaryIO) -> Iterator[Footprints]:
    """CSV with `geometry` (WKT) and `confidence`. Raises InputError without them."""
    try:
        for frame in pd.read_csv(stream, usecols=["geometry", "confidence"], dtype={"geometry": str}, chunksize=ROWS_AT_ONCE):
            shapes = _parsed(shapely.from_wkt, frame["geometry"].fillna("").to_numpy(object))
            yield Footprints(shapes, frame["confidence"].to_numpy(float))
    except ValueError as error:
        raise InputError(f"no CSV of Google's Open Buildings: {str(error).splitlines()[0]}") from None


READERS = {"microsoft": read_microsoft, "google": read_google}


def file_batches(frames: Iterable[pd.DataFrame], rules: OpeningRules) -> Iterator[pd.DataFrame]:
    """Shell: files (FILES_DDL) to rows of FOOTPRINTS_DDL. Raises ReadError: a file that cannot be read whole is not ground without
    buildings."""
    with Opener(rules) as opener:
        for frame in frames:
            for kind, href, label_date in zip(frame["kind"], frame["href"], frame["label_date"], strict=True):
                with opener.stream(str(href)) as stream:
                    for found in READERS[str(kind)](stream):
                        yield footprint_rows(found, str(kind), label_date)


def outline_batches(frames: Iterable[pd.DataFrame], source: str) -> Iterator[pd.DataFrame]:
    """Shell: frames of geometry (WKB, EPSG:4326), confidence, label_date and, where they are told, boxes to rows of FOOTPRINTS_DDL. Raises
    ReadError on a wrong box: a file's other rows were chosen by theirs."""
    for frame in frames:
        shapes = _parsed(shapely.from_wkb, frame["geometry"].to_numpy(object))
        if set(BBOX) <= set(frame.columns):
            _check_boxes(shapes, frame[list(BBOX)].to_numpy(float))
        yield footprint_rows(Footprints(shapes, frame["confidence"].to_numpy(float)), source, frame["label_date"].to_numpy(object))


def _check_boxes(shapes: NDArray[np.object_], told: NDArray[np.float64]) -> None:
    """Boxes (n, 4) need not be tight; one across 180 degrees (xmin > xmax) or without a number says nothing."""
    found = shapely.bounds(shapes)
    outside = np.column_stack([told[:, :2] - found[:, :2], found[:, 2:] - told[:, 2:]]) > BOX_SLACK
    wrong = np.flatnonzero(outside.any(axis=1) & (told[:, 0] <= told[:, 2]))
    if len(wrong):
        box, bounds = (np.round(values[wrong[0]], 6).tolist() for values in (told, found))
        raise ReadError("corrupt", f"bbox {box} does not cover its geometry, which reaches {bounds}; drop column bbox or write it anew")


def _parsed(read: Any, texts: NDArray[np.object_]) -> NDArray[np.object_]:
    """Geometries, None for what is none, and for curves, which shapely does not know."""
    try:
        with np.errstate(invalid="ignore", over="ignore"):
            return np.array(read(texts, on_invalid="ignore"), object)
    except NotImplementedError:
        halves = np.array_split(texts, 2)
        return np.concatenate([_parsed(read, half) for half in halves]) if len(texts) > 1 else np.array([None], object)


def footprint_rows(found: Footprints, source: str, label_date: Any) -> pd.DataFrame:
    """Rows of FOOTPRINTS_DDL, `geometry` null where there is no polygon. `label_date`: one day, or one for each."""
    shapes = polygons(found.shapes)
    wkb = shapely.to_wkb(shapely.normalize(shapes))
    west, south, east, north = shapely.bounds(shapes).T
    return pd.DataFrame({
        "footprint_id": [None if each is None else _identity(source, each) for each in wkb], "source": source, "geometry": wkb,
        "xmin": west, "ymin": south, "xmax": east, "ymax": north,
        "confidence": pd.Series(found.confidence, dtype=object).where(np.isfinite(found.confidence), None),
        "label_date": label_date,
    })  # fmt: skip


def polygons(shapes: NDArray[np.object_]) -> NDArray[np.object_]:
    """Valid (multi)polygons in two dimensions, mended where they cross themselves; None for what has no area in degrees, or a corner
    nowhere."""
    mended = np.array(shapely.force_2d(shapes), object)
    xy, owner = shapely.get_coordinates(mended, return_index=True)
    mended[owner[~np.isfinite(xy).all(axis=1)]] = None
    for number in np.flatnonzero(~shapely.is_valid(mended) & ~shapely.is_missing(mended)):
        # Holes are taken away from shells, however large they are; by lines alone, one that is larger would be the building.
        mended[number] = polygons_only(shapely.make_valid(mended[number], method="structure", keep_collapsed=False))
    west, south, east, north = shapely.bounds(mended).T
    sound = (shapely.area(mended) > 0) & (west >= -180) & (east <= 180) & (south >= -90) & (north <= 90)
    mended[~sound | ~np.isin(shapely.get_type_id(mended), POLYGONAL)] = None
    return mended


def vector_footprints(path: Path, date_column: str | None, date: dt.date | None, source: str) -> pd.DataFrame:
    """A vector file's polygons as rows of FOOTPRINTS_DDL. `date_column`: the day, or year, by which each stood. Raises InputError."""
    frame = vector_frame(path, None, "footprints")
    if date_column and date_column not in frame:
        raise InputError(f"footprints: {path.name} has no column {date_column}; it has {', '.join(map(str, frame.columns[:10]))}")
    shapes = np.asarray(frame.geometry.to_crs("EPSG:4326").to_numpy(), object)
    days = _days(frame[date_column], path) if date_column else date
    told = pd.to_numeric(frame["confidence"], errors="coerce") if "confidence" in frame else pd.Series(np.nan, index=frame.index)
    return footprint_rows(Footprints(shapes, np.asarray(told.where(told >= 0), np.float64)), source, days)


def _days(values: pd.Series, path: Path) -> list[dt.date | None]:
    """Of dates as they are, of years the last day; None where there is none."""
    if pd.api.types.is_numeric_dtype(values):
        years = values.where(values.between(1000, 2200))
        return [None if math.isnan(year) else dt.date(int(year), 12, 31) for year in years.astype(float)]
    days = pd.to_datetime(values, errors="coerce", utc=True)
    if days.isna().all():
        raise InputError(f"footprints: {path.name}: column {values.name} holds neither years nor dates; name another date_column")
    return [None if pd.isna(day) else day.date() for day in days]


def _day(text: str | None) -> dt.date | None:
    try:
        return dt.date.fromisoformat((text or "")[:10])
    except ValueError:
        return None


def _identity(source: str, wkb: bytes) -> str:
    return hashlib.sha256(source.encode() + b":" + wkb).hexdigest()[:32]
