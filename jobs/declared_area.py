"""The area that a place declares for its tiles."""

from typing import Any, Literal

from pydantic import Field

from conf.place import Place
from conf.settings import Settings, parse
from udfs.areas import box_area, file_area

Box = tuple[float, float, float, float]


class AreaFile(Settings):
    """Polygons of a vector file, all of them or those named."""

    path: str
    column: str | None = Field(None, description="that holds the names")
    names: tuple[str, ...] = ()


Area = Box | AreaFile | Literal["land"]


class _Declared(Settings):
    area: Area | None = None


def declared_area(place: Place) -> Area | None:
    """`tiles.area` of the place; raises InputError."""
    found: _Declared = parse(_Declared, {"area": (place.sections.get("tiles") or {}).get("area")}, "tiles")
    return found.area


def area_polygon(place: Place, area: Area | None) -> Any:
    """The area as a polygon, EPSG:4326; None: what scenes cover, or the land of the earth. Raises InputError."""
    if isinstance(area, AreaFile):
        return file_area(place.located(area.path), area.column, area.names)
    return None if area is None or isinstance(area, str) else box_area(*area)
