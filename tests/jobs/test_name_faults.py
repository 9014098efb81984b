"""Fault 45: names and settings that are attacks. What becomes part of a path, a table or a statement is refused unless it is a plain name:
exit code 2, one line, nothing written. What may be any text is followed to the end in sdg11/test_hostile_place.py.

There is no setting whose text is run: neither SQL nor map algebra."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import shapely

from jobs.cli import main
from jobs.mapping.scenes import quoted
from tests.jobs.toy_place import refused
from udfs.areas import file_area

ATTACKS = ("x; DROP TABLE units", "'); --", "a`b", "../up", "a/b", "x\ny", "", "$(touch ran)", "<script>", "a\\b", "-", "x" * 200)
LAYER = {"sensor": "rgb", "model": "models:/buildings_50cm@champion", "resolution": 0.5}


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("what", ["name", "layer", "epoch", "network"])
def test_45_what_becomes_a_path_or_a_key_is_a_plain_name(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, place_file: Callable[..., str], what: str, name: str
) -> None:
    span = {"start": "2020-01-01", "end": "2020-12-31", "reference": "2020-07-01"}
    changes: dict[str, dict[str, Any]] = {
        "name": {"name": name}, "layer": {"layers": {name: LAYER}}, "epoch": {"epochs": [{"name": name, **span}]},
        "network": {"train": {"network": name}},
    }  # fmt: skip
    if (what, name) in (("epoch", "-"), ("network", "x" * 200)):
        return  # plain enough: an epoch is no folder of its own, and a network without a recipe is refused by the jobs that need it
    said = refused(capsys, tmp_path / "warehouse", "flow", "--place", place_file(**changes[what]))
    assert "should match pattern" in said


@pytest.mark.parametrize("warehouse", ["a%41b", "a?b=c", "a#b", "a\nb", "", "a\tb"])
def test_45_a_warehouse_that_readers_would_look_for_elsewhere(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, place_file: Callable[..., str], warehouse: str
) -> None:
    place = place_file(warehouse=str(tmp_path / "warehouse" / warehouse) if warehouse else "")
    assert "name another folder" in refused(capsys, tmp_path / "warehouse", "flow", "--place", place)


@pytest.mark.parametrize(
    "area",
    ["POLYGON((0 0, 1 0, 1 1, 0 0)); DROP TABLE units", "POLYGON((0 0, 1 0, 1 1, 0 0))') OR ('1'='1", "land; --", {"wkt": "POLYGON EMPTY"},
     {"path": "units.geojson; rm -rf .", "column": "x"}, {"path": "/vsicurl/http://127.0.0.1:9/a.geojson"}],
)  # fmt: skip
def test_45_an_area_is_no_text_that_is_run(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, place_file: Callable[..., str], area: Any
) -> None:
    assert "tiles.area" in refused(capsys, tmp_path / "warehouse", "flow", "--place", place_file(tiles={"area": area}))


def test_45_an_area_by_names_that_are_attacks(tmp_path: Path) -> None:
    column, shapes = "na`me'); --", {"'); --": shapely.box(1, 1, 2, 2), "' OR 1=1 --": shapely.box(3, 1, 5, 2)}
    features = [{"type": "Feature", "properties": {column: name}, "geometry": shapely.geometry.mapping(s)} for name, s in shapes.items()]
    path = tmp_path / "a' -- `DROP TABLE`.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")
    assert file_area(path, column, ("'); --",)).equals(shapes["'); --"])


@pytest.mark.parametrize(
    "arguments",
    [("fingerprint", "x; DROP TABLE units"), ("fingerprint", "../units"), ("fingerprint", "`units`"), ("drop; --",),
     ("flow", "--conf", "x; y"),
     ("flow", "--place", "../../etc/passwd"), ("flow", "--place", "a\nb"), ("flow", "--pilot", "1%; DROP"), ("flow", "--set", "a`b=1"),
     ("flow", "--set", "x; DROP TABLE units=1"), ("flow", "--set", "\x1b[2Jname=1")],
)  # fmt: skip
def test_45_arguments_that_are_attacks(capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert "\x1b" not in refused(capsys, tmp_path / "none", *arguments)


def test_45_titles_and_attributions_may_be_any_text(capsys: pytest.CaptureFixture[str], place_file: Callable[..., str]) -> None:
    assert main(["list", "--place", place_file(title="'); DROP TABLE units; --", attribution="<script>`x`</script>")]) == 0
    assert "in the flow" in capsys.readouterr().out


def test_45_a_column_is_quoted_whatever_it_is_called() -> None:
    assert [quoted(name) for name in ("a", "a`b", "x` FROM y; --", "a.b")] == ["`a`", "`a``b`", "`x`` FROM y; --`", "`a.b`"]
