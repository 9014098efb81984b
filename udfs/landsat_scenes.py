"""Landsat scenes as they are delivered: a folder of files and the MTL text that tells of them."""

from pathlib import Path

from conf.errors import InputError
from conf.place import Source
from conf.sensors import SENSORS, Sensor
from udfs.addresses import address_of
from udfs.image_files import files_like, located
from udfs.landsat_metadata import LandsatMetadata, read_landsat_metadata, scene_calibration
from udfs.scenes import Scene

ALIKE = {"LANDSAT_4": "LANDSAT_5", "LANDSAT_9": "LANDSAT_8"}
"""Satellites with the instruments of another."""


def scenes_of_metadata(source: Source, storage: Path) -> list[Scene]:
    """A scene for each MTL file that `source.metadata`, a path or pattern with *, names. Raises InputError.

    Its date, calibration and files are those that the MTL file tells; a band whose file is not there is left out.
    """
    pattern = located(str(source.metadata), storage)
    if address_of(pattern).is_remote:
        raise InputError(f"{source.metadata}: MTL files are read from folders; for scenes on the web use a STAC catalog")
    paths = [Path(path) for path in files_like(pattern)]
    if not paths:
        raise InputError(f"{source.metadata}: no file matches; fetch the scenes' MTL files or correct scenes.sources")
    return [_scene(source, read_landsat_metadata(path), path) for path in paths]


def _scene(source: Source, metadata: LandsatMetadata, path: Path) -> Scene:
    sensor = SENSORS[str(source.sensor)]
    hrefs = _files(metadata, sensor, path)
    calibration = {band: linear for band, linear in scene_calibration(metadata).items() if band in hrefs}
    return Scene(
        scene_id=path.stem.removesuffix("_MTL"),
        sensor=sensor.name,
        datetime=metadata.datetime,
        hrefs=hrefs,
        band_indexes=dict.fromkeys(hrefs, 1),
        nodata=source.nodata,
        calibration=calibration,
        licence=source.licence,
        attribution=source.attribution,
    )


def _files(metadata: LandsatMetadata, sensor: Sensor, path: Path) -> dict[str, str]:
    """Band and mask to file; raises InputError where the scene is another sensor's or not one file is there."""
    craft = ALIKE.get(metadata.spacecraft, metadata.spacecraft).lower().replace("_", "")
    known = {band: name for band, name in metadata.files.items() if band in (*sensor.band_names, *sensor.mask_names)}
    if not sensor.name.startswith((craft, "landsat_")) or sensor.name.endswith("_l2") != (metadata.level == 2):
        found = f"a level-{metadata.level} scene of {metadata.spacecraft}"
        raise InputError(f"{path.name}: {found}, not of sensor {sensor.name}; correct the source's sensor")
    there = {band: str(path.parent / Path(name).name) for band, name in known.items() if (path.parent / Path(name).name).is_file()}
    if not there.keys() & set(sensor.band_names):
        raise InputError(f"{path.name}: none of its files lies beside it, e.g. {min(known.values())}; fetch them")
    return there
