"""The places that read from public STAC APIs, held against items as these APIs give them: no network is asked."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import shapely

from conf.access import Access
from conf.errors import InputError
from conf.place import Place, Source, load_place
from conf.sensors import SENSORS
from models.predictor import read_spec
from models.registry import shipped_models
from tests.servers.stac_api import stac_api
from udfs.addresses import Allowed, matches
from udfs.catalogs import opening_rules, planned_scene, scenes_of
from udfs.images import Opener
from udfs.scenes import Scene
from udfs.stac_catalogs import SearchBounds
from udfs.stac_items import is_complete, scene_of_item
from udfs.zones import one_zone

Item = dict[str, Any]
GSD = {"B01": 60, "B02": 10, "B03": 10, "B04": 10, "B05": 20, "B06": 20, "B07": 20, "B08": 10, "B8A": 20, "B09": 60, "B11": 20, "B12": 20,
       "SCL": 20, "AOT": 20, "WVP": 20}  # fmt: skip
EARTH_SEARCH_KEYS = {
    "B01": "coastal", "B02": "blue", "B03": "green", "B04": "red", "B05": "rededge1", "B06": "rededge2", "B07": "rededge3", "B08": "nir",
    "B8A": "nir08", "B09": "nir09", "B11": "swir16", "B12": "swir22", "SCL": "scl", "AOT": "aot", "WVP": "wvp",
}  # fmt: skip
COMMON_NAMES = {band: "rededge" if key.startswith("rededge") else key for band, key in EARTH_SEARCH_KEYS.items()}


def grid(gsd: int, west: int, north: int) -> dict[str, Any]:
    return {"proj:shape": [109_800 // gsd] * 2, "proj:transform": [gsd, 0, west, 0, -gsd, north]}


def feature(name: str, day: str, baseline: str, box: tuple[float, ...], **properties: Any) -> Item:
    return {
        "type": "Feature", "stac_version": "1.0.0", "stac_extensions": [], "id": name, "collection": "sentinel-2-l2a", "links": [],
        "geometry": shapely.geometry.mapping(shapely.box(*box)), "bbox": list(box),
        "properties": {"datetime": f"{day}T11:00:00Z", "eo:cloud_cover": 12.5, "s2:processing_baseline": baseline, **properties},
    }  # fmt: skip


def earth_search(day: str, baseline: str, applied: bool) -> Item:
    """Tile 28PBB: COGs by colour, the JPEG 2000 beside them in a bucket, a picture that lists bands."""
    compact = day.replace("-", "")
    folder = (
        f"https://sentinel-cogs.s3.us-west-2.amazonaws.com/sentinel-s2-l2a-cogs/28/P/BB/{day[:4]}/{int(day[5:7])}/S2A_28PBB_{compact}_0_L2A"
    )
    offset = -0.1 if baseline >= "04.00" else 0  # stated whether applied or not
    assets: dict[str, Any] = {}
    for band, key in EARTH_SEARCH_KEYS.items():
        named = {} if band in ("SCL", "AOT", "WVP") else {"eo:bands": [{"name": key, "common_name": COMMON_NAMES[band]}]}
        values = {} if band == "SCL" else {"scale": 0.0001, "offset": offset}
        told = {"roles": ["data", "reflectance"], **grid(GSD[band], 199_980, 1_700_040), **named, "raster:bands": [{"nodata": 0, **values}]}
        assets[f"{key}-jp2"] = {"href": f"s3://sentinel-s2-l2a/tiles/28/P/BB/{band}.jp2", **told}
        assets[key] = {"href": f"{folder}/{band}.tif", **told}
    rgb = [{"name": name, "common_name": name} for name in ("red", "green", "blue")]
    assets["visual"] = {"href": f"{folder}/TCI.tif", "roles": ["visual"], "eo:bands": rgb, **grid(10, 199_980, 1_700_040)}
    assets["thumbnail"] = {"href": f"{folder}/thumbnail.jpg", "roles": ["thumbnail"]}
    box = (-17.79, 14.37, -16.77, 15.37)
    told = {"proj:epsg": 32628, "earthsearch:boa_offset_applied": applied}
    return {**feature(f"S2A_28PBB_{compact}_0_L2A", day, baseline, box, **told), "assets": assets}


def planetary_computer(day: str, baseline: str, code: dict[str, Any]) -> Item:
    """Tile 35MRU: bands by number, without scale and offset; a picture of role data, and one of another host."""
    name = f"S2B_MSIL2A_{day.replace('-', '')}T081609_R121_T35MRU"
    folder = f"https://sentinel2l2a01.blob.core.windows.net/sentinel2-l2/35/M/RU/{name}.SAFE/IMG_DATA"
    assets: dict[str, Any] = {}
    for band, gsd in GSD.items():
        named = {} if band in ("SCL", "AOT", "WVP") else {"eo:bands": [{"name": band, "common_name": COMMON_NAMES[band]}]}
        assets[band] = {"href": f"{folder}/R{gsd}m/T35MRU_{band}_{gsd}m.tif", "roles": ["data"], **grid(gsd, 799_980, 9_800_020), **named}
    rgb = [{"name": band} for band in ("B04", "B03", "B02")]
    picture = {"href": f"{folder}/R10m/T35MRU_TCI_10m.tif", "roles": ["data"], "eo:bands": rgb, **grid(10, 799_980, 9_800_020)}
    preview = {"href": "https://planetarycomputer.microsoft.com/api/data/v1/item/preview.png", "roles": ["overview"]}
    assets = {"visual": picture, **assets, "tilejson": preview, "rendered_preview": preview}
    return {**feature(name, day, baseline, (29.69, -2.80, 30.69, -1.81), **code), "assets": assets}


@dataclass(frozen=True)
class Case:
    """A place, its items inside an epoch each, and what the values of red are by each: scale and offset."""

    name: str
    item: Callable[..., Item]
    dated: tuple[tuple[Any, ...], ...]
    linear: tuple[tuple[float, float], ...]


CASES = (
    Case("earth_search", earth_search, (("2019-03-04", "02.11", False), ("2024-11-05", "05.11", True)), ((1e-4, 0.0), (1e-4, 0.0))),
    Case(
        "planetary_computer",
        planetary_computer,
        (
            ("2018-02-03", "02.12", {"proj:epsg": 32735}),
            ("2021-07-08", "03.01", {"proj:code": "EPSG:32735"}),
            ("2024-09-10", "05.11", {"proj:epsg": 32735}),
        ),
        ((1e-4, 0.0), (1e-4, 0.0), (1e-4, -0.1)),
    ),
)
each = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def place_of(case: Case) -> tuple[Place, Source]:
    place = load_place(case.name, (), frozenset({"scenes", "tiles"}))
    (source,) = place.sources
    return place, source


def scenes_in(case: Case, source: Source) -> list[Scene]:
    return [scene_of_item(case.item(*dated), source) for dated in case.dated]


def bounds_of(place: Place) -> SearchBounds:
    return SearchBounds(tuple(place.sections["tiles"]["area"]), tuple((epoch.start, epoch.end) for epoch in place.epochs))


@each
def test_items_have_every_band_of_the_model_and_the_values_of_their_year(case: Case) -> None:
    place, source = place_of(case)
    ((_, layer),) = place.layers.items()
    spec = read_spec(shipped_models()["built_up_10m"].path)
    assert layer.sensor in spec.sensors and layer.model == "models:/built_up_10m@champion"
    for scene, linear in zip(scenes_in(case, source), case.linear, strict=True):
        assert scene.sensor == layer.sensor
        assert {SENSORS[scene.sensor].band_called(band) for band in spec.bands} | {"SCL"} <= set(scene.hrefs)
        assert all(band in Path(href).name and href.endswith(".tif") for band, href in scene.hrefs.items())
        assert set(scene.band_indexes.values()) == {1}
        assert SENSORS[scene.sensor].linear("B04", scene.baseline, scene.calibration) == linear
        assert (scene.licence, scene.cloud) == ("Copernicus Sentinel data terms", 0.125)


@each
def test_its_hosts_are_those_of_the_images_and_planning_opens_none(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    place, source = place_of(case)
    monkeypatch.setattr(Opener, "open", lambda *_: pytest.fail("an image was opened"))
    area = shapely.box(*place.sections["tiles"]["area"])
    assert one_zone(area) is not None
    with Opener(opening_rules(place.sources, place.folder, place.access)) as opener:
        for scene in scenes_in(case, source):
            assert is_complete(scene)
            planned = planned_scene(scene, source, opener)
            assert planned.width == 10_980 and planned.fault is None
            assert shapely.contains(shapely.from_wkb(planned.footprint), area)
            used = {host for host in place.access.hosts for href in scene.files if matches(Allowed(hosts=(host,)).check(href), host)}
            assert used == set(place.access.hosts), "a host that no image needs"
    with (
        Opener(opening_rules(place.sources, place.folder, Access())) as closed,
        pytest.raises(InputError, match=r"not among access\.hosts"),
    ):
        planned_scene(scene, source, closed)


def test_azure_is_asked_with_a_token_and_amazon_without() -> None:
    for case, expected in zip(CASES, (set(), {"planetary_computer"}), strict=True):
        place, source = place_of(case)
        addresses = [Allowed(hosts=place.access.hosts).check(href) for scene in scenes_in(case, source) for href in scene.files]
        signed = [{name for host, name in place.access.signing.items() if matches(address, host)} for address in addresses]
        assert all(names == expected for names in signed)


@each
def test_a_search_with_its_epochs_and_area_finds_them_and_no_others(case: Case) -> None:
    place, source = place_of(case)
    items = [case.item(*dated) for dated in case.dated]
    before = case.item("2016-05-06", *case.dated[0][1:])
    elsewhere = {**case.item("2024-01-02", *case.dated[-1][1:]), "bbox": [5, 5, 6, 6]}
    elsewhere["geometry"] = shapely.geometry.mapping(shapely.box(*elsewhere["bbox"]))
    another = {**case.item("2024-03-02", *case.dated[-1][1:]), "collection": "sentinel-2-l1c"}
    with stac_api([before, *items, elsewhere, another]) as url:
        asked = source.model_copy(update={"api": url, "query": {}})  # the server on loopback has no query extension
        found = scenes_of((asked,), place.folder, place.access, bounds_of(place))
    assert [scene.scene_id for scene in found] == sorted(item["id"] for item in items)
    days = [scene.datetime.date() for scene in sorted(found, key=lambda scene: scene.datetime)]
    assert all(epoch.start <= day <= epoch.end for epoch, day in zip(place.epochs, days, strict=True))
    assert days == [dt.date.fromisoformat(dated[0]) for dated in case.dated]
    assert source.query == {"eo:cloud_cover": {"lt": 40}}
