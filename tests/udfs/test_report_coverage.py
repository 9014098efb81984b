"""The report's coverage: counts, reasons, and a map on which no hole hides."""

import io
import re

import numpy as np
import pandas as pd
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from udfs.map_pixels import MapGrid
from udfs.report_coverage import COLOURS, STATES, coverage_picture, coverage_table, reason_table, state_maps

GRID = MapGrid("EPSG:32636", 450_000.0, 40_000.0, 2560.0, 2560.0, 5, 3, 1)


def cells(*rows: tuple[str, int, int, str]) -> pd.DataFrame:
    return pd.DataFrame([(epoch, y, x, STATES.index(state)) for epoch, y, x, state in rows], columns=["epoch", "y", "x", "state"])


def share_of(png: bytes, colour: str) -> float:
    image = imread(io.BytesIO(png))[..., :3]
    return float((np.abs(image - to_rgb(colour)).max(axis=2) < 0.01).mean())


def test_counts_and_the_share_of_ground_include_tiles_without_result() -> None:
    counts = pd.DataFrame(
        [("b", "2020", "done", 6, 4.5), ("b", "2020", "quarantined", 2, 0.0), ("b", "2020", "pending", 1, np.nan),
         ("a", "2020", "nodata", 3, 0.0)],
        columns=["layer", "epoch", "status", "tiles", "valid"],
    )  # fmt: skip
    failed = pd.DataFrame([("b", "2020", 7)], columns=["layer", "epoch", "scenes"])
    lines = [re.findall(r"<td[^>]*>([^<]*)", line) for line in coverage_table(counts, failed).split("<tr>")[2:]]
    assert lines == [["a", "2020", "3", "0", "3", "0", "0", "0.0", "0"], ["b", "2020", "9", "6", "0", "1", "2", "50.0", "7"]]


def test_the_most_frequent_reasons_say_what_to_do_and_how_many_are_left_out() -> None:
    columns = ["layer", "epoch", "kind", "tiles", "reason", "next_step"]
    kinds = [("b", "2020", f"k{tiles:02}", tiles, f"k{tiles:02}: <b>", "retry") for tiles in range(1, 13)]
    text = reason_table(pd.DataFrame([*kinds, ("b", "2020", None, 99, None, None)], columns=columns))
    assert re.findall(r">(k\d\d)<", text) == [f"k{tiles:02}" for tiles in range(12, 2, -1)]
    assert "k12: &lt;b&gt;" in text and "10 most frequent of 12 kinds" in text
    assert "most frequent" not in reason_table(pd.DataFrame(kinds[:10], columns=columns))
    assert reason_table(pd.DataFrame([("b", "2020", None, 99, None, None)], columns=columns)) == "<p>Every planned tile has a result.</p>"


def test_states_lie_where_their_tiles_are() -> None:
    maps = state_maps(
        cells(("2020", 0, 4, "done"), ("2020", 2, 1, "quarantined"), ("2018", 1, 0, "nodata")), GRID, ["2018", "2019", "2020"]
    )
    assert list(maps) == ["2018", "2020"]
    expected = np.full((3, 5), 255)
    expected[0, 4], expected[2, 1] = 0, 3
    assert np.array_equal(maps["2020"], expected)


def test_the_map_shows_states_upright_in_their_colours_and_is_the_same_again() -> None:
    all_done = [("2020", y, x, "done") for y in range(3) for x in range(5)]
    whole = coverage_picture("b", GRID, state_maps(cells(*all_done), GRID, ["2020"]), "by us")
    holed = coverage_picture("b", GRID, state_maps(cells(*all_done[:3], ("2020", 0, 4, "quarantined")), GRID, ["2020"]), "by us")
    done, quarantined = COLOURS[0], COLOURS[3]
    assert share_of(whole.png, done) > 0.4 > 5 * share_of(whole.png, quarantined)
    assert share_of(holed.png, quarantined) > 0.02 > share_of(whole.png, quarantined)
    image = imread(io.BytesIO(holed.png))[..., :3]
    rows, columns = np.nonzero(np.abs(image - to_rgb(quarantined)).max(axis=2) < 0.01)
    in_map = rows < image.shape[0] * 0.8
    assert rows[in_map].mean() < image.shape[0] / 2 and columns[in_map].mean() > image.shape[1] / 2
    assert coverage_picture("b", GRID, state_maps(cells(*all_done), GRID, ["2020"]), "by us") == whole
    assert whole.name == "coverage_b" and "A square is a tile" in whole.caption and "by us" in whole.caption


def test_of_many_epochs_the_ends_are_drawn_and_the_caption_says_so() -> None:
    epochs = [str(year) for year in range(2000, 2020)]
    maps = state_maps(cells(*((epoch, 0, 0, "done") for epoch in epochs)), GRID._replace(step=4), epochs)
    picture = coverage_picture("b", GRID._replace(step=4), maps, "")
    assert "12 of 20 epochs" in picture.caption and "4 x 4 tiles" in picture.caption
