"""Benchmarks: pairs are compared, disagreement fails, names are found."""

import pytest

from benchmarks.__main__ import found, main
from benchmarks.pairs import Measure, speed_ratio
from benchmarks.polygonize import town
from benchmarks.seams import agree, tiled, whole


def test_ratios_come_from_interleaved_pairs_after_a_warm_up() -> None:
    calls: list[str] = []
    measure = speed_ratio("x", lambda: calls.append("a"), lambda: calls.append("b"), lambda a, b: None, 1.0, pairs=5)
    assert "".join(calls) == "ab" + "ab" + "ba" + "ab" + "ba" + "ab"
    assert len(measure.values) == 5


def test_outputs_that_disagree_fail() -> None:
    def differ(ours: int, theirs: int) -> None:
        raise ValueError(f"{ours} is not {theirs}")

    with pytest.raises(ValueError, match="1 is not 2"):
        speed_ratio("x", lambda: 1, lambda: 2, differ, 1.0)


@pytest.mark.parametrize(("at_most", "reached"), [(False, False), (True, True)])
def test_the_median_is_held_against_the_reach(at_most: bool, reached: bool) -> None:
    assert Measure("x", "s", (1.0, 5.0, 2.0), 3.0, at_most).reached == reached


def test_an_unknown_name_is_refused() -> None:
    assert main(["no_such_benchmark"]) == 2
    assert {"polygonize", "seams"} <= set(found())


def test_tiles_merged_are_the_whole_scene_in_bytes() -> None:
    scene = town(400, 0.02).astype("uint8") * 200
    agree(tiled(scene, 128), whole(scene))
