"""Answers of interpreters: what is refused, what two passes settle, how well they agree."""

from pathlib import Path

import pandas as pd
import pytest

from conf.errors import InputError
from udfs.interpretation import interpreted, read_answers

POINTS = pd.Series([1, 2, 3, 4])


def answers(folder: Path, *rows: str, header: str = "point_id,answer,note") -> Path:
    path = folder / "first.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def series(**given: str) -> pd.Series:
    return pd.Series({int(name[1:]): answer for name, answer in given.items()})


def test_rows_come_in_any_order(tmp_path: Path) -> None:
    found = read_answers(answers(tmp_path, '3,unsure,"a, b"', "1, Built,", "4,not_built,", "2,built,"), POINTS)
    assert dict(found) == {1: "built", 2: "built", 3: "unsure", 4: "not_built"}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (("1,built,", "2,built,", "3,built,"), "point 4 has no answer"),
        (("1,built,", "2,built,", "3,built,", "4,,"), "point 4 has answer ''"),
        (("1,built,", "2,built,", "3,yes,", "4,built,"), "point 3 has answer 'yes'; write built, not_built, unsure"),
        (("1,built,", "1,built,", "2,built,", "3,built,", "4,built,"), "point 1 is answered twice"),
        (("1,built,", "2,built,", "3,built,", "4,built,", "9,built,"), "point '9' is not in the sample"),
    ],
)
def test_answers_that_do_not_fit_are_refused(tmp_path: Path, rows: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_answers(answers(tmp_path, *rows), POINTS)


def test_files_that_are_no_answers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_answers(tmp_path / "none.csv", POINTS)
    with pytest.raises(InputError, match="has columns point, answer"):
        read_answers(answers(tmp_path, "1,built", header="point,answer"), POINTS)
    assert len(read_answers(answers(tmp_path, "2,built,"), POINTS, every=False)) == 1


def test_two_passes_and_what_settles_them() -> None:
    first = series(p1="built", p2="not_built", p3="unsure", p4="built", p5="unsure")
    second = series(p1="built", p2="not_built", p3="unsure", p4="not_built", p5="built")
    found = interpreted([first, second], series(p4="not_built", p5="unsure"))
    assert dict(found.built) == {1: True, 2: False, 4: False}
    assert found.disputed == [3, 4, 5] and found.left_out == [3, 5]
    # By hand: 3 of 5 agree; by chance 2/5 x 2/5 built, 1/5 x 2/5 not built, 2/5 x 1/5 unsure.
    assert found.kappa == pytest.approx((0.6 - 0.32) / (1 - 0.32))
    with pytest.raises(InputError, match="point 2 is not in dispute"):
        interpreted([first, second], series(p2="built"))


def test_one_pass_has_no_kappa_and_answers_all_alike_none_either() -> None:
    alone = interpreted([series(p1="built", p2="unsure")], None)
    assert (alone.kappa, alone.disputed, dict(alone.built)) == (None, [2], {1: True})
    assert interpreted([series(p1="built", p2="built")] * 2, None).kappa is None
