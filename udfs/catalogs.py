"""Finding scenes: catalogs and files to rows of `scenes`. Reads catalogs, and headers where catalogs do not tell what they say."""

import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import shapely

from conf.access import Access
from conf.errors import InputError, ReadError
from conf.place import Source
from conf.sensors import SENSORS
from udfs.addresses import Allowed, address_of, pattern_of
from udfs.image_files import fixed_folder, located, scenes_of_files
from udfs.images import Opener, OpeningRules
from udfs.landsat_scenes import scenes_of_metadata
from udfs.scenes import Scene, described, inspected
from udfs.stac_catalogs import SearchBounds, catalog_items, searched_items
from udfs.stac_items import is_complete, scene_of_item

READERS = 8
LOG = logging.getLogger(__name__)
ANYWHERE = SearchBounds()
NO_ACCESS = Access()


def scenes_of(sources: tuple[Source, ...], storage: Path, access: Access = NO_ACCESS, bounds: SearchBounds = ANYWHERE) -> list[Scene]:
    """Every scene of the sources but those of stac-geoparquet, by scene_id. `{storage}` in paths stands for the place's folder.

    Raises InputError for a wrong declaration, and when no scene at all can be read. A broken scene among sound ones stays,
    with `fault` set and taken to cover what the others cover: a failed read is not "no image".
    """
    with Opener(opening_rules(sources, storage, access)) as opener:
        declared = [pair for source in sources if source.items is None for pair in _declared(source, storage, opener, access, bounds)]
        _check_unique([scene for scene, _ in declared])
        with ThreadPoolExecutor(READERS) as readers:
            found = list(
                readers.map(lambda pair: planned_scene(pair[0], pair[1], opener), sorted(declared, key=lambda pair: pair[0].scene_id))
            )
    if not found and any(source.items for source in sources):
        return []
    return with_stand_ins(found)


def planned_scene(scene: Scene, source: Source, opener: Opener) -> Scene:
    """With its footprint, digest and versions: from its catalog where that is complete, else from its headers. Raises InputError."""
    for href in scene.files:
        try:
            opener.rules.allowed.check(href)
        except ReadError as error:
            raise InputError(f"scene {scene.scene_id}: {error}") from None
    told = source.inspect == "auto" and is_complete(scene) and not _has_local(scene)
    return described(scene) if told else inspected(scene, opener)


def _has_local(scene: Scene) -> bool:
    """Headers on disk cost nothing to look at, and a local file's content is what decides."""
    return any(not address_of(href).is_remote for href in scene.files)


def with_stand_ins(found: list[Scene]) -> list[Scene]:
    """Broken scenes get the ground of the sound ones; raises InputError where none is sound."""
    sound = [scene for scene in found if scene.fault is None]
    if not sound:
        if not found:
            raise InputError("the place's sources hold no scene; check scenes.sources")
        raise InputError(f"no scene can be read; {found[0].scene_id}: {found[0].fault}")
    return [scene if scene.fault is None else _stand_in(scene, sound) for scene in found]


def opening_rules(sources: Iterable[Source], storage: Path, access: Access, processes: int = 1) -> OpeningRules:
    """What images of these sources may be opened: the folders they name, the place's own, and what `access` adds.

    `processes` work at once: they share the requests to a host.
    """
    paths = [path for source in sources for path in (source.stac, source.href, source.metadata, *source.files.values())]
    named = [located(path, storage) for path in paths if path]
    local = [fixed_folder(path) for path in named if not address_of(path).is_remote]
    roots = sorted({str(Path(folder).resolve()) for folder in [*local, str(storage), *access.roots]})
    catalogs = [address_of(source.stac) for source in sources if source.stac]
    hosts = [*access.hosts, *(pattern_of(address) for address in catalogs if address.is_remote)]
    return OpeningRules(Allowed(tuple(roots), tuple(hosts)), access, max(1, access.requests_per_host // processes))


def _declared(source: Source, storage: Path, opener: Opener, access: Access, bounds: SearchBounds) -> list[tuple[Scene, Source]]:
    if source.sensor is not None and source.sensor not in SENSORS:
        raise InputError(f"sensor {source.sensor} is unknown; use one of {', '.join(sorted(SENSORS))}")
    if source.api is not None:
        return [(scene_of_item(item, source), source) for item in searched_items(source, bounds, access)]
    if source.stac is not None:
        return [(scene_of_item(item, source), source) for item in catalog_items(_catalog(source.stac, storage), opener)]
    files = scenes_of_metadata if source.metadata is not None else scenes_of_files
    return [(scene, source) for scene in files(source, storage)]


def _catalog(path: str, storage: Path) -> str:
    found = located(path, storage)
    if not address_of(found).is_remote and not Path(found).is_file():
        raise InputError(f"no catalog {found}; fetch it or correct scenes.sources")
    return found


def _check_unique(scenes: list[Scene]) -> None:
    seen: set[str] = set()
    for scene in scenes:
        if scene.scene_id in seen:
            raise InputError(f"two scenes are called {scene.scene_id}; give each its own id or folder")
        seen.add(scene.scene_id)


def _stand_in(broken: Scene, sound: list[Scene]) -> Scene:
    """The broken scene with the grid of a sound one, preferably of its sensor, and the footprint of all."""
    alike = [scene for scene in sound if scene.sensor == broken.sensor] or sound
    like = alike[0]
    LOG.warning("scene %s: %s", broken.scene_id, broken.fault)
    whole = shapely.to_wkb(shapely.union_all(shapely.from_wkb([scene.footprint for scene in alike])))
    return replace(
        broken, crs=like.crs, transform=like.transform, width=like.width, height=like.height, footprint=broken.footprint or whole
    )
