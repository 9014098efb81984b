"""Bad input: exit code 2, one line that names the value and the next step, nothing written; no JVM is needed to say so."""

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
import yaml
from affine import Affine

from conf.place import load_place
from jobs.cli import main
from jobs.flow import prepare_job
from jobs.job import declared_jobs
from models.bundle import Tensors, read_spec, read_tensors, write_bundle
from models.registry import WEIGHTS

Files = dict[str, str]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """7 x 5 RGB pixels of 0.5 m."""
    return write_image(tmp_path / "image.tif", "EPSG:32643")


def write_image(path: Path, crs: str | None, pixel: float = 0.5) -> Path:
    values = np.arange(3 * 5 * 7, dtype=np.uint8).reshape(3, 5, 7) + 1
    profile = {
        "driver": "GTiff",
        "count": 3,
        "height": 5,
        "width": 7,
        "dtype": "uint8",
        "transform": Affine(pixel, 0, 300_000, 0, -pixel, 2_100_000),
    }
    with rasterio.open(path, "w", crs=crs, **profile) as file:
        file.write(values)
    return path


@pytest.fixture
def place_file(tmp_path: Path, image: Path) -> Callable[..., str]:
    """A place around the image, with changes."""

    def write(**changes: object) -> str:
        values = {
            "name": "toy",
            "warehouse": str(tmp_path / "warehouse"),
            "grid": "utm",
            "epochs": [{"name": "2020", "start": "2020-01-01", "end": "2020-12-31", "reference": "2020-07-01"}],
            "layers": {"buildings_50cm": {"sensor": "rgb", "model": "models:/buildings_50cm@champion", "resolution": 0.5}},
            "scenes": {"sources": [{"href": str(image), "sensor": "rgb", "datetime": "2020-03-01"}]},
            **changes,
        }
        path = tmp_path / "toy.yaml"
        path.write_text(yaml.safe_dump(values), encoding="utf-8")
        return str(path)

    return write


def refused(capsys: pytest.CaptureFixture[str], warehouse: Path, *arguments: str) -> str:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1, captured.err
    assert not warehouse.exists()
    return captured.err


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("tiles.tile_pixels=512", r"tiles.tile_pixels"),
        ("tiles.tile_px=300", "300"),
        ("tilez.tile_px=256", "tilez"),
        ("max_quarantined_share=2", "max_quarantined_share"),
        ("layers.buildings_50cm.model=models:/nothing@champion", "nothing"),
        ("layers.buildings_50cm.model=nothing.pt#sha256=00", "nothing.pt"),
        ("scenes.sources=[{href: /nowhere/image.tif, sensor: rgb, datetime: 2020-03-01}]", "image.tif"),
        ("layers.buildings_50cm.resolution=30", "30"),
        ("epochs=[{name: '2021', start: 2021-01-01, end: 2021-12-31, reference: 2021-07-01}]", "no rgb scene (2020-03-01..2020-03-01)"),
        ("tiles.tile_px", "key=value"),
        ("tiles.area=[1,2", "tiles.area=[1,2"),
        ("tiles.area=[0, 0, 1, 1]", "tiles.area = [0.0, 0.0, 1.0, 1.0] touches no scene"),
        ("layers.buildings_50cm.resolution=null", "layers.buildings_50cm.resolution"),
        ("layers.more={sensor: rgb}", "layers.more.resolution is missing"),
        ("layers.buildings_50cm.model=null", "layer buildings_50cm has no model; set layers.buildings_50cm.model"),
        ("built_up.model=models:/nothing@champion", "nothing"),
    ],
)
def test_settings_that_are_wrong(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, place_file: Callable[..., str], assignment: str, said: str
) -> None:
    assert said in refused(capsys, tmp_path / "warehouse", "flow", "--place", place_file(), "--set", assignment)


def test_a_section_of_another_job_is_checked_when_a_job_runs_by_name(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, place_file: Callable[..., str]
) -> None:
    assert "built_up.batches" in refused(capsys, tmp_path / "warehouse", "scenes", "--place", place_file(built_up={"batches": 2}))


LAYERS = {
    name: {"sensor": "rgb", "model": "models:/buildings_50cm@champion", "resolution": 0.5, "feeds": "built_m2"} for name in ("one", "two")
}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"layers": LAYERS}, "layers.two.feeds"),
        (
            {"layers": {**LAYERS, "two": {**LAYERS["two"], "feeds": "none"}}, "built_up": {"model": "models:/buildings_50cm@champion"}},
            "set layers.one.model instead",
        ),
    ],
)
def test_what_only_one_layer_may_say(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, place_file: Callable[..., str], changes: dict[str, object], said: str
) -> None:
    assert said in refused(capsys, tmp_path / "warehouse", "flow", "--place", place_file(**changes))


def test_the_model_of_one_layer_is_set_as_built_up_model(place_file: Callable[..., str]) -> None:
    jobs = declared_jobs()
    bundle = WEIGHTS / "buildings_50cm" / "model.safetensors"
    sha256 = hashlib.sha256(bundle.read_bytes()).hexdigest()
    model = f"built_up.model={bundle}#sha256={sha256}"
    place = load_place(place_file(), ("layers.buildings_50cm.model=models:/nothing@champion", model), frozenset(jobs))
    item = prepare_job(place, jobs, "built_up")
    assert item.pins["buildings_50cm"]["sha256"] == sha256
    assert "model" not in item.decided


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


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nonsense",), "nonsense"),
        (("flow", "--place", "atlantis"), "atlantis"),
        (("fingerprint",), "fingerprint TABLE"),
        (("fingerprint", "nothing"), "nothing"),
        (("flow", "--conf", "sparkx=1"), "sparkx"),
        (("flow", "kampala"), "--place kampala"),
        (("list", "kampala"), "--place kampala"),
    ],
)
def test_arguments_that_are_wrong(capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    assert said in refused(capsys, tmp_path / "none", *arguments)


def test_a_place_whose_data_are_not_there(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("URBANTRACE_DATA", raising=False)
    assert "URBANTRACE_DATA" in refused(capsys, tmp_path / "none", "flow", "--place", "mumbai")


def test_what_jobs_log_comes_on_stderr(capsys: pytest.CaptureFixture[str], place_file: Callable[..., str]) -> None:
    root = logging.getLogger()
    kept, root.handlers = root.handlers, []
    try:
        assert main(["list", "--place", place_file()]) == 0
        logging.getLogger("jobs.training.train").info("step 2 of 9")
        assert capsys.readouterr().err == "step 2 of 9\n"
    finally:
        root.handlers = kept


def test_list_says_what_a_place_runs(capsys: pytest.CaptureFixture[str], place_file: Callable[..., str]) -> None:
    assert main(["list", "--place", place_file()]) == 0
    lines = capsys.readouterr().out.splitlines()
    by_job = {line.split()[0]: line for line in lines}
    assert "in the flow" in by_job["built_up"]
    assert "not here: no units.path is declared" in by_job["units"]
    assert "not here: unit_statistics does not run: no units.path is declared" in by_job["indicators"]
    assert "in the flow" in by_job["report"]
    assert "not here: the place has no section simulated_city" in by_job["simulated_city"]
