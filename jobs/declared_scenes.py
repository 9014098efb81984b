"""The scenes that a place declares, and what may be opened to read them."""

from conf.place import Place, Source
from jobs.declared_area import AreaFile, area_polygon, declared_area
from udfs.catalogs import opening_rules, scenes_of
from udfs.images import OpeningRules
from udfs.scenes import Scene
from udfs.stac_catalogs import SearchBounds


def declared_scenes(place: Place, sources: tuple[Source, ...]) -> list[Scene]:
    """Scenes of all sources but stac-geoparquet, which Spark reads. Raises InputError."""
    return scenes_of(sources, place.folder, place.access, search_bounds(place))


def search_bounds(place: Place) -> SearchBounds:
    """What catalogs are asked for: the area of `tiles`, and every epoch. Raises InputError."""
    area = declared_area(place)
    spans = tuple((epoch.start, epoch.end) for epoch in place.epochs)
    if isinstance(area, AreaFile):
        west, south, east, north = (float(edge) for edge in area_polygon(place, area).bounds)
        return SearchBounds((west, south, east, north), spans)
    return SearchBounds(None if isinstance(area, str) else area, spans)


def rules_of(place: Place, processes: int = 1) -> OpeningRules:
    """For workers of which so many run at once."""
    return opening_rules(place.sources, place.folder, place.access, processes)
