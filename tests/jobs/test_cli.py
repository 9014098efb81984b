"""Bad input: exit code 2, one line that names the value and the next step, nothing written; no JVM is needed to say so."""

import hashlib
import logging
import os
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from conf.place import load_place
from jobs import cli
from jobs.cli import main
from jobs.flow import prepare_job
from jobs.job import declared_jobs
from models.registry import WEIGHTS
from tests.jobs.toy_place import refused


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


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nonsense",), "nonsense"),
        (("flow", "--place", "atlantis"), "atlantis"),
        (("fingerprint",), "fingerprint TABLE"),
        (("fingerprint", "nothing"), "nothing"),
        (("fingerprint", "--format", "csv", "nothing"), "nothing"),
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


def test_the_printed_command_starts_the_same_run(monkeypatch: pytest.MonkeyPatch, place_file: Callable[..., str]) -> None:
    given: list[tuple[object, ...]] = []
    monkeypatch.setattr(cli, "dry_run", lambda *values: given.append(values) or 0)
    monkeypatch.setattr(cli, "run_flow", lambda *values: given.append(values) or 0)
    assignments = (
        "--set",
        'title=it\'s "here"',
        "--set",
        "tiles.tile_px=256",
    )
    asked = ("flow", "--place", place_file(), *assignments, "--master", "local[2]", "--conf", "spark.driver.memory=1g", "--recompute")
    main([*asked, "--dry-run"])
    command = shlex.split(str(given[0][-1]))
    assert os.access(command[0], os.X_OK)
    main(command[1:])
    (place, _, name, how, _), (again, _, same) = given
    assert (place, how, name) == (again, same, "flow")
    assert how.recompute and how.spark_conf == {"spark.driver.memory": "1g"}


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
