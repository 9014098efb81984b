"""Writes docs/sensors.md from the declarations. Run: python -m docs.sensor_page"""

from itertools import groupby
from math import inf
from pathlib import Path

from conf.instruments import Flight, Instrument
from conf.sensors import SENSORS, Band, Mask, Sensor
from udfs.sensor_pairs import Pair, pairs_within

PAGE = Path(__file__).with_name("sensors.md")

HEAD = """# Sensors

Made from `conf/sensors_*.py` and `conf/instruments.py` by `python -m docs.sensor_page`; a test holds it to them.

A layer names a sensor; a scene of it is read to the values below, by `value = DN * scale + offset`. Where a scene's own metadata give
scale and offset (STAC `raster:bands`, a Landsat MTL file), they take the sensor's place, offset of the processing baseline included:
where a catalog has taken that offset out already, it says so by its own scale and offset. Where scale is "of the scene" there is no
reading without them. "Stretched" stands for (DN - p2) / (p98 - p2) between the scene's 2nd and 98th percentile: it cancels any linear
calibration, so none is needed. `DN` is the plausible range: a scene most of whose pixels lie outside it is refused at the start.
"To be checked" stands where a number is not certain.
"""

SCALES = """## Not read as they come
- Sentinel-1 SLC and GRD in the delivered SAFE format hold uncalibrated amplitude: calibrate and geocode them first, to dB or to power.
- GF-3 the same, with the constants of its own metadata.
- Thermal bands of Landsat Level-1 are radiance; `udfs/landsat_metadata.py` turns it into brightness temperature.
- `BQA` is that of Landsat Collection 1; images from before the collections pack other bits under that name: fetch Collection 2.
- Complex or rotated images are refused: make amplitude or power of them, north up.
"""

PAIRS = """## What ESA and Chinese missions can be combined for
Each ESA instrument with each Chinese one (`pairs_within` in `udfs/sensor_pairs.py`).

- `gap` = min(revisit A, revisit B) / 2, in days: for every image of the rarer instrument there is one of the other at most so many days
  before or after, whatever the phase of the two orbits; on average half of that.
- `wait` = revisit, in days: the longest from any image of one to the *next* of the other, first A to B, then B to A.
- `pixel ratio` is the coarser finest pixel over the finer one; `shared bands` have the same common name in both.
- Two instruments of one kind are only comparable after each is read to its own physical values.

Limits: both are taken to look at even steps and everywhere. Revisits are at the equator and of all satellites of a mission together;
while only one flew they are those of "straight ahead". Where turning is counted in (GF-1 PMS, GF-2, GF-3, ZY-3) an image exists only if
it was ordered, else the column "straight ahead" of the instruments holds. Cloud adds a revisit for each image lost, to optical images only.
Swaths of unlike width see only their common part of the ground.
"""


def page() -> str:
    """The page as Markdown."""
    return "\n".join([HEAD, _sensors(), _masks(), _instruments(), _pairs(), SCALES, _sources()])


def _table(title: str, rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    head = f"## {title}\n\n" if title else ""
    return head + "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]]) + "\n"


def _sensors() -> str:
    head = ["sensor", "bands (metres): common name, micrometres", "values", "pixel type", "scale, offset", "DN", "nodata"]
    return _table("Sensors", [head, *(_sensor(sensor) for sensor in SENSORS.values())])


def _sensor(sensor: Sensor) -> list[str]:
    bands = "; ".join(_band(band) for band in sensor.bands)
    own = [band for band in sensor.bands if band.scale is not None]
    scale = _linear(sensor, sensor.bands[0]) + "".join(f"; {band.name} {_linear(sensor, band)}" for band in own)
    limits = "any" if sensor.values == "stretched" else f"{sensor.low:g} to {sensor.high:g}"
    limits += "".join(f"; {band.name} {band.low:g} to {band.high:g}" for band in own)
    values = "; ".join([sensor.values, *(f"{band.name} {band.values}" for band in sensor.bands if band.values)])
    nodata = "" if sensor.nodata is None else f"{sensor.nodata:g}{' in all bands' if sensor.nodata_in == 'all' else ''}"
    return [f"`{sensor.name}`", bands, values, sensor.dtype, scale, limits, nodata]


def _band(band: Band) -> str:
    span = "" if band.wavelength is None else f" {band.wavelength[0]:.3f}-{band.wavelength[1]:.3f}"
    common = "" if band.common == band.name.lower() else f" {band.common}"
    return f"{band.name} ({band.gsd:g}){':' if common or span else ''}{common}{span}"


def _linear(sensor: Sensor, band: Band) -> str:
    linear = sensor.linear(band.name, None)
    if sensor.values == "stretched":
        return "stretched"
    if linear is None:
        return "of the scene"
    later = f" ({linear[1] + sensor.late_offset:g} from baseline {sensor.offset_since})" if sensor.offset_since else ""
    return f"{linear[0]:.6g}, {linear[1]:g}{later}{', then 10 log10' if sensor.in_decibel else ''}"


def _masks() -> str:
    rows = [[f"`{sensor.name}`", *_mask(mask)] for sensor in SENSORS.values() for mask in sensor.masks]
    return _table("Masks", [["sensor", "band", "clear", "water"], *rows])


def _mask(mask: Mask) -> list[str]:
    clear = f"class {_numbers(mask.clear)}" if mask.clear else f"none of bits {_numbers(_set_bits(mask.bits))}"
    water = f"class {_numbers(mask.water)}" if mask.water else f"bit {_numbers(_set_bits(mask.water_bits))}" if mask.water_bits else ""
    return [mask.band, clear, water]


def _numbers(numbers: frozenset[int] | list[int]) -> str:
    return ", ".join(str(number) for number in sorted(numbers))


def _set_bits(bits: int) -> list[int]:
    return [number for number in range(bits.bit_length()) if bits >> number & 1]


def _known() -> list[Instrument]:
    found = {sensor.instrument.name: sensor.instrument for sensor in SENSORS.values() if sensor.instrument is not None}
    return list(found.values())


def _instruments() -> str:
    head = ["instrument", "kind", "swath, km", "revisit, days", "straight ahead", "flown", "source"]
    return _table("Instruments", [head, *(_instrument(instrument) for instrument in _known())])


def _instrument(on: Instrument) -> list[str]:
    straight = "" if on.straight_days is None else f"{on.straight_days:g}"
    flown = "; ".join(_flown(flight) for flight in on.flights)
    return [on.title, on.kind, f"{on.swath_km:g}", f"{on.revisit_days:g}", straight, flown, on.source]


def _flown(flight: Flight) -> str:
    return f"{flight.satellite} {flight.start} to {flight.end or 'now'}"


def _pairs() -> str:
    head = ["A", "B", "gap", "wait", "pixel ratio", "shared bands", "since", "for"]
    return PAIRS + "\n" + _table("", [head, *(_row(pair) for pair in pairs_within(inf))])


def _row(pair: Pair) -> list[str]:
    wait = f"{pair.second.revisit_days:g}, {pair.first.revisit_days:g}"
    since = f"{pair.since}" if pair.until is None else f"{pair.since} to {pair.until}"
    common = ", ".join(pair.common) or "none"
    return [pair.first.title, pair.second.title, f"{pair.gap_days:g}", wait, f"{pair.gsd_ratio:.3g}", common, since, pair.use]


def _sources() -> str:
    by_text = groupby(sorted(SENSORS.values(), key=lambda sensor: sensor.source), key=lambda sensor: sensor.source)
    lines = [f"- {', '.join(f'`{sensor.name}`' for sensor in sensors)}: {text}" for text, sensors in by_text]
    return "## Where the numbers come from\n\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
