"""The scenes that a place declares, and what may be opened to read them."""

from conf.place import Place
from udfs.catalogs import opening_rules, scenes_of
from udfs.images import OpeningRules
from udfs.scenes import Scene
from udfs.stac_catalogs import SearchBounds


def declared_scenes(place: Place) -> list[Scene]:
    """Scenes of all sources but stac-geoparquet, which Spark reads. Raises InputError."""
    return scenes_of(place.sources, place.folder, place.access, search_bounds(place))


def search_bounds(place: Place) -> SearchBounds:
    """What catalogs are asked for: the area of `tiles`, and every epoch."""
    area = (place.sections.get("tiles") or {}).get("area")
    bbox = (float(area[0]), float(area[1]), float(area[2]), float(area[3])) if isinstance(area, (list, tuple)) and len(area) == 4 else None
    return SearchBounds(bbox, tuple((epoch.start, epoch.end) for epoch in place.epochs))


def rules_of(place: Place, processes: int = 1) -> OpeningRules:
    """For workers of which so many run at once."""
    return opening_rules(place.sources, place.folder, place.access, processes)
