"""Fault 46: places that are no plain settings. Refused as every bad input is: exit code 2, one line with the key, nothing written."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from conf.place import Place
from conf.settings import Settings
from jobs.cli import main
from jobs.job import declared_jobs
from tests.jobs.toy_place import refused

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))


@pytest.mark.parametrize(
    ("added", "said"),
    [
        (
            "title: !!python/object/apply:os.system ['touch {marker}']",
            "in line 19: could not determine a constructor for the tag 'tag:yaml.org,2002:python/object/apply:os.system'",
        ),
        ("title: !!python/object/new:pathlib.Path [x]", "python/object/new:pathlib.Path"),
        ("title: !!python/name:os.system", "python/name:os.system"),
        ("title: !!python/module:os", "python/module:os"),
        (BOMB, "aliases stand for more than"),
        (BOMB + "tiles: {{area: *a11}}", "aliases stand for more than"),
        ("tiles: &t {{area: *t}}", "an alias leads back to what it stands in"),
        ("name: other", "key name comes twice"),
        ("tiles: {{tile_px: 256, tile_px: 512}}", "key tile_px comes twice"),
        ("tiles:\n\ttile_px: 256", "toy.yaml is not plain YAML in line"),
        ("title: " + "[" * 3000 + "]" * 3000, "nested too deep"),
        ("? [a, b]\n: c", "unhashable key"),
        ("--- \nname: other", "another document"),
        ('title: "a\\0b"', "a text holds a control character"),
        ("epoch_start: 2020-13-01", "month must be in 1..12"),
        ("batch_seconds: " + "9" * 5000, "4300 digits"),
        ("1: x", "unknown setting 1;"),
        ("warehous: x", "unknown setting warehous; did you mean warehouse?"),
        ("tile: {{tile_px: 256}}", "unknown setting tile; did you mean title or tiles?"),
        ("sections: {{tiles: {{tile_px: 256}}}}", "unknown setting sections;"),
        ("built_up: {{batchsize: 8}}", "unknown setting built_up.batchsize; did you mean built_up."),
        ("access: {{host: [a.org]}}", "unknown setting access.host; did you mean access.hosts?"),
        ("indicators: {{growth_errors: {{patch_m: 5}}}}", "growth_errors"),
        ("tiles: 512", "section tiles is 512"),
        ("tiles: {{tile_px: -256}}", "setting tiles.tile_px = -256"),
        ("tiles: {{area: [.nan, 0, 1, 1]}}", "setting tiles.area.0 = nan"),
        ("tiles: {{area: [-.inf, 0, 1, 1]}}", "setting tiles.area.0 = -inf"),
        ("access: {{tries: -1}}", "setting access.tries = -1"),
        ("max_quarantined_share: .nan", "setting max_quarantined_share = nan"),
        ("batch_seconds: .inf", "setting batch_seconds = inf"),
        ("batch_seconds: -5", "setting batch_seconds = -5"),
    ],
)
def test_46_a_place_that_is_no_plain_settings(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, place_file: Callable[..., str], added: str, said: str
) -> None:
    marker, place = tmp_path / "ran", Path(place_file())
    place.write_text(place.read_text() + added.format(marker=marker) + "\n", encoding="utf-8")
    told = refused(capsys, tmp_path / "warehouse", "flow", "--place", str(place))
    assert said in told and len(told) < 1500
    assert not marker.exists()


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("title=!!python/object/apply:os.system ['touch /nowhere']", "python/object/apply"),
        ("layers.buildings_50cm.modle=x", "unknown setting layers.buildings_50cm.modle; did you mean layers.buildings_50cm.model?"),
        ("layers.buildings_50cm.resolution=.nan", "layers.buildings_50cm.resolution = nan"),
        ("layers.buildings_50cm.resolution=-0.5", "layers.buildings_50cm.resolution = -0.5"),
        ("scenes.sources=[{href: x, sensr: rgb}]", "did you mean scenes.sources.0.sensor?"),
        ("tiles={tile_px: 256, tile_px: 512}", "key tile_px comes twice"),
        ("=5", "key=value"),
    ],
)
def test_46_a_setting_that_is_none(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, place_file: Callable[..., str], assignment: str, said: str
) -> None:
    assert said in refused(capsys, tmp_path / "warehouse", "flow", "--place", place_file(), "--set", assignment)


def test_46_a_bomb_takes_neither_time_nor_memory(tmp_path: Path, place_file: Callable[..., str]) -> None:
    """In a process of its own with so little memory that what the aliases stand for could not be begun."""
    place = Path(place_file())
    place.write_text(place.read_text() + BOMB + "title: *a11\n", encoding="utf-8")
    code = (
        "import resource, sys; from conf.place import load_place; from conf.errors import InputError\n"
        "used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: load_place(sys.argv[1], (), frozenset())\n"
        "except InputError: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used)"
    )
    found = subprocess.run([sys.executable, "-c", code, str(place)], capture_output=True, text=True, timeout=60, check=True)
    assert int(found.stdout) < 16 * 1024, "kB"


def test_46_anchors_that_save_writing_are_kept(capsys: pytest.CaptureFixture[str], place_file: Callable[..., str]) -> None:
    place = Path(place_file())
    place.write_text(place.read_text() + "footprints: {sources: [&m {kind: vector, path: a, licence: b}, {<<: *m, path: c}]}\n")
    assert main(["list", "--place", str(place)]) == 0
    assert "footprints" in capsys.readouterr().out


def test_46_a_file_that_is_no_text(capsys: pytest.CaptureFixture[str], tmp_path: Path, place_file: Callable[..., str]) -> None:
    place = Path(place_file())
    place.write_bytes(place.read_bytes() + b"title: caf\xe9\n")
    assert "toy.yaml is not UTF-8 at byte" in refused(capsys, tmp_path / "warehouse", "flow", "--place", str(place))


UNBOUNDED = {"seed", "year", "nodata"}
"""Numbers that may be less than 0, or are no sizes."""


def _numbers(settings: type[Settings]) -> list[str]:
    """Names of plain numbers among the fields."""
    kinds = {name: field.annotation for name, field in settings.model_fields.items()}
    return [name for name, kind in kinds.items() if {kind, *get_args(kind)} & {int, float} and not hasattr(kind, "__origin__")]


def test_46_no_number_of_any_job_may_be_negative_or_none() -> None:
    declared = {"": Place, **{name: job.settings for name, job in declared_jobs().items()}}
    checked = [(section, model, name) for section, model in declared.items() for name in _numbers(model)]
    assert len(checked) > 100
    for section, model, name in checked:
        bad: list[Any] = [float("nan"), float("inf"), float("-inf"), *([] if name in UNBOUNDED else [-1])]
        for value in bad:
            with pytest.raises(ValidationError) as caught:
                model.model_validate({name: value})
            assert name in [error["loc"][0] for error in caught.value.errors()], f"{section}.{name} may be {value}"
