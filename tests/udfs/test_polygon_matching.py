"""Pairs and faults in one square of ground, without Spark."""

import numpy as np
import pandas as pd
import pytest
import shapely

from udfs.polygon_matching import FOUND, KNOWN, PAIRS_DDL, fault_frame, pair_frame

HOUSE = shapely.box(0.0101, 0.0101, 0.0103, 0.0102)
SPIKED = shapely.Polygon([(0.0101, 0.0101), (0.0103, 0.0101), (0.0103, 0.0102), (0.0103, 0.0109), (0.0103, 0.0102), (0.0101, 0.0102)])


def frame(*rows: tuple[str, str, str, object]) -> pd.DataFrame:
    kind, number, region, shape = zip(*rows, strict=True)
    return pd.DataFrame(
        {
            "kind": kind, "id": number, "region": region, "confidence": 0.5, "geometry": shapely.to_wkb(np.array(shape, object)),
            "square_y": 0, "square_x": 0,
        }
    )  # fmt: skip


@pytest.mark.parametrize(("found", "known"), [(HOUSE, SPIKED), (SPIKED, HOUSE)])
def test_a_spike_without_area_changes_no_figure(found: object, known: object) -> None:
    rows = pair_frame(frame((FOUND, "f", "a", found), (KNOWN, "k", "b", known)), 1.0)
    assert list(rows.columns) == [column.split()[0] for column in PAIRS_DDL.split(", ")]
    assert rows["region"].tolist() == ["b"]
    assert (rows["iou"][0], rows["c_iou"][0]) == pytest.approx((1, 1), abs=1e-6)
    assert (rows["polis"][0], rows["mta"][0]) == pytest.approx((0, 0), abs=1e-3)


def test_a_square_without_pairs_has_no_rows() -> None:
    far = shapely.box(0.015, 0.015, 0.0152, 0.0151)
    for rows in (frame((FOUND, "f", "a", HOUSE), (KNOWN, "k", "a", far)), frame((KNOWN, "k", "a", far))):
        assert pair_frame(rows, 1.0).empty


def test_faults_hang_on_no_order() -> None:
    other = shapely.box(0.0102, 0.0101, 0.0105, 0.0102)
    rows = frame((FOUND, "f1", "b", other), (FOUND, "f0", "a", HOUSE), (FOUND, "f2", "a", SPIKED))
    told = [fault_frame(each).set_index("region") for each in (rows, rows[::-1])]
    pd.testing.assert_frame_equal(*told)
    assert told[0]["invalid"].tolist() == [1, 0] and told[0]["overlapping"].tolist() == [2, 1]
