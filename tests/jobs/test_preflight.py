"""Declared inputs that do not fit each other: exit code 2 and one line before anything is written, without a JVM."""

import datetime as dt
import gzip
import hashlib
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pystac
import pytest
import shapely

from conf.errors import InputError
from conf.place import Place
from jobs.preflight import check_people
from jobs.sdg11.population import PopulationSettings
from jobs.sdg11.units import UnitsSettings
from models.bundle import Tensors, read_spec, read_tensors, write_bundle
from models.registry import WEIGHTS
from tests.jobs.toy_place import refused, write_image

Files = dict[str, str]


@pytest.mark.parametrize("job", ["flow", "tiles"])
def test_scenes_that_are_not_on_one_native_grid(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, place_file: Callable[..., str], job: str
) -> None:
    place = place_file(grid="native")
    assert "set it to that" in refused(
        capsys, tmp_path / "warehouse", job, "--place", place, "--set", "layers.buildings_50cm.resolution=0.6"
    )
    other = write_image(tmp_path / "other.tif", "EPSG:32644")
    sources = [{"href": str(tmp_path / name), "sensor": "rgb", "datetime": "2020-03-01"} for name in ("image.tif", other.name)]
    assert "EPSG:32644" in refused(capsys, tmp_path / "warehouse", job, "--place", place_file(grid="native", scenes={"sources": sources}))


@pytest.mark.parametrize("job", ["flow", "scenes"])
def test_items_whose_mask_is_called_otherwise(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, place_file: Callable[..., str], job: str
) -> None:
    square = shapely.box(73.0, 18.9, 73.1, 19.0)
    taken = dt.datetime(2020, 3, 1, tzinfo=dt.UTC)
    item = pystac.Item("S2_x", json.loads(shapely.to_geojson(square)), list(square.bounds), taken, {"urbantrace:sensor": "sentinel2_l2a"})
    for key in ("B02", "SCL_20m"):
        item.add_asset(key, pystac.Asset(f"./{key}.tif"))
    catalog = pystac.Catalog("test", "One item.")
    catalog.add_item(item)
    catalog.normalize_and_save(str(tmp_path / "items"), pystac.CatalogType.SELF_CONTAINED)
    layer = {"sensor": "sentinel2_l2a", "model": "models:/built_up_10m@champion", "resolution": 10}
    place = place_file(layers={"built_up_10m": layer}, scenes={"sources": [{"stac": str(tmp_path / "items" / "catalog.json")}]})
    said = refused(capsys, tmp_path / "warehouse", job, "--place", place)
    assert "item S2_x: no asset for SCL of sentinel2_l2a; it has B02, SCL_20m; name it as `assets: {SCL: ...}` of the source" in said


@pytest.mark.parametrize("job", ["flow", "built_up"])
def test_images_that_do_not_suit_the_model(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, image: Path, place_file: Callable[..., str], job: str
) -> None:
    sources = [{"href": str(image), "sensor": "rgb", "datetime": "2020-03-01", "bands": ["red", "green"]}]
    place = place_file(scenes={"sources": sources})
    assert "has no band blue" in refused(capsys, tmp_path / "warehouse", job, "--place", place)
    write_image(image, "EPSG:32643", pixel=4.0)
    coarse = {"sensor": "rgb", "model": "models:/buildings_50cm@champion", "resolution": 4.0}
    place = place_file(grid="native", layers={"buildings_50cm": coarse})
    assert "pixels of 4 m" in refused(capsys, tmp_path / "warehouse", job, "--place", place)


def _without(tensors: Tensors) -> Tensors:
    return dict(list(tensors.items())[1:])


def _not_finite(tensors: Tensors) -> Tensors:
    name = min(tensors)
    return {**tensors, name: np.full_like(tensors[name], np.nan)}


@pytest.mark.parametrize(("spoil", "said"), [(_without, "the network needs"), (_not_finite, "not finite")])
def test_weights_that_no_network_can_run_on(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, place_file: Callable[..., str], spoil: Callable[[Tensors], Tensors], said: str
) -> None:
    shipped = WEIGHTS / "buildings_50cm" / "model.safetensors"
    bundle = tmp_path / "spoilt.safetensors"
    write_bundle(bundle, read_spec(shipped), spoil(read_tensors(shipped.read_bytes(), shipped)))
    model = f"built_up.model={bundle}#sha256={hashlib.sha256(bundle.read_bytes()).hexdigest()}"
    assert said in refused(capsys, tmp_path / "warehouse", "flow", "--place", place_file(), "--set", model)


def _bomb(marker: Path) -> bytes:
    """A pickle that makes a file when it is opened."""
    return b"cposix\nsystem\n(S'touch %s'\ntR." % str(marker).encode()


def _zipped(**members: bytes) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"archive/{name.replace('__', '/')}", content)
    return held.getvalue()


PICKLED: dict[str, Callable[[bytes], bytes]] = {
    "model.pt": lambda bomb: _zipped(**{"data.pkl": bomb, "version": b"3"}),
    "model.pth": lambda bomb: bomb,
    "model.ckpt": lambda bomb: _zipped(**{"data.pkl": bomb}),
    "model.pkl.gz": gzip.compress,
    "model.pt2": lambda bomb: _zipped(**{"data.pkl": bomb, "data__aotinductor__model__evil.so": b"\x7fELF"}),
    "MLmodel": lambda bomb: b"flavors: {python_function: {loader_module: evil, code: code}}",
    "pickle.safetensors": lambda bomb: bomb,
}


@pytest.mark.parametrize("name", PICKLED)
def test_models_that_would_run_code_are_never_opened(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, place_file: Callable[..., str], name: str
) -> None:
    marker = tmp_path / "ran"
    model = tmp_path / name
    model.write_bytes(PICKLED[name](_bomb(marker)))
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "evil.py").write_text(f"open({str(marker)!r}, 'w').close()")
    setting = f"built_up.model={model}#sha256={hashlib.sha256(model.read_bytes()).hexdigest()}"
    said = refused(capsys, tmp_path / "warehouse", "flow", "--place", place_file(), "--set", setting)
    assert ("no safetensors file" if model.suffix == ".safetensors" else "pickle models not accepted") in said
    assert not marker.exists()
    pickle.loads(_bomb(marker))
    assert marker.exists(), "the bomb is none"


def test_weights_that_are_not_the_pinned_ones(capsys: pytest.CaptureFixture[str], tmp_path: Path, place_file: Callable[..., str]) -> None:
    bundle = WEIGHTS / "buildings_50cm" / "model.safetensors"
    model = f"layers.buildings_50cm.model={bundle}#sha256={'0' * 64}"
    assert "sha256" in refused(capsys, tmp_path / "warehouse", "flow", "--place", place_file(), "--set", model)


def test_scenes_of_which_none_has_a_crs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, image: Path, place_file: Callable[..., str]
) -> None:
    write_image(image, None)
    assert "CRS" in refused(capsys, tmp_path / "warehouse", "flow", "--place", place_file())


@pytest.mark.parametrize(
    ("features", "said"),
    [
        ([({"name": "a"}, (73.09, 18.98, 73.10, 18.99))], "unit_id"),
        ([({"unit_id": "a"}, (0, 0, 1, 1))], "overlap"),
        ([({"unit_id": "a"}, (73, 18, 74, 20)), ({"unit_id": "a"}, (74, 18, 75, 20))], "a"),
    ],
)
def test_units_that_are_wrong(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    place_file: Callable[..., str],
    features: list[tuple[Files, tuple[float, ...]]],
    said: str,
) -> None:
    path = tmp_path / "units.geojson"
    collection = [
        {"type": "Feature", "properties": properties, "geometry": json.loads(shapely.to_geojson(shapely.box(*box)))}
        for properties, box in features
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": collection}), encoding="utf-8")
    place = place_file(units={"path": str(path), "id": "unit_id"})
    assert said in refused(capsys, tmp_path / "warehouse", "flow", "--place", place)


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("http://127.0.0.1:9", "127.0.0.1:9"),
        ("./mlruns", "folders of runs are not supported"),
        ("sqlite:///{folder}/broken.db/mlflow.db", "cannot be made in"),
        ("sqlite:///{folder}/broken.db", "broken.db"),
    ],
)
def test_a_configured_store_that_cannot_be_used(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place_file: Callable[..., str], uri: str, said: str
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    (tmp_path / "broken.db").write_bytes(b"no database")
    bundle = WEIGHTS / "buildings_50cm" / "model.safetensors"
    model = f"built_up.model={bundle}#sha256={hashlib.sha256(bundle.read_bytes()).hexdigest()}"
    place = place_file(tracking_uri=uri.format(folder=tmp_path))
    for job in ("flow", "scenes"):
        assert said in refused(capsys, tmp_path / "warehouse", job, "--place", place, "--set", model)


def test_people_of_units_that_are_not_there(capsys: pytest.CaptureFixture[str], tmp_path: Path, place_file: Callable[..., str]) -> None:
    units = tmp_path / "units.geojson"
    box = json.loads(shapely.to_geojson(shapely.box(73, 18, 74, 20)))
    feature = {"type": "Feature", "properties": {"unit_id": "a", "parent": "all"}, "geometry": box}
    units.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}), encoding="utf-8")
    people = tmp_path / "people.csv"
    declared = {"units": {"path": str(units), "parent": "parent"}, "population": {"path": str(people)}}
    people.write_text("unit_id,year,people\na,2020,5\nall,2020,5\nz,2020,1\n", encoding="utf-8")
    for job in ("flow", "population"):
        assert "unit 'z' is not among the units" in refused(capsys, tmp_path / "warehouse", job, "--place", place_file(**declared))


def test_people_of_units_in_a_layout_and_of_what_units_leave(tmp_path: Path) -> None:
    """Ids are a layout's own, and that of ground which no other unit holds; the file has no column unit_id."""
    units, people = tmp_path / "units.geojson", tmp_path / "people.csv"
    parts = [("a", "ADM0", shapely.box(73, 18, 74, 20)), ("b", "ADM1", shapely.box(73, 18, 74, 19))]
    features = [
        {
            "type": "Feature", "geometry": json.loads(shapely.to_geojson(box)),
            "properties": {"shapeID": name, "shapeName": name, "shapeType": level},
        }
        for name, level, box in parts
    ]  # fmt: skip
    units.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")
    people.write_text("unit_id,year,people\na,2020,5\nb,2020,4\na:rest,2020,1\n", encoding="utf-8")
    epoch = {"name": "2020", "start": "2020-01-01", "end": "2020-12-31", "reference": "2020-07-01"}
    place = Place.model_validate({"name": "toy", "epochs": [epoch], "layers": {"x": {"sensor": "rgb", "model": "m", "resolution": 1.0}}})
    declared = UnitsSettings(path=str(units), layout="geoboundaries"), PopulationSettings(path=str(people))
    check_people(place, *declared)
    people.write_text("unit_id,year,people\nb:rest,2020,5\n", encoding="utf-8")
    with pytest.raises(InputError, match="unit 'b:rest' is not among the units"):
        check_people(place, *declared)
