"""Average precision and recall against COCO's own evaluation."""

import contextlib
import io

import numpy as np
import pandas as pd
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from udfs.average_precision import CONFIDENCE_BINS, THRESHOLDS, average_precision, average_recall
from udfs.polygon_figures import COUNTS, NANO, figures_by_region


def boxes(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Known boxes on a lattice; found ones beside them, more or less; x, y, width, height. Confidences, none twice."""
    random = np.random.default_rng(seed)
    known = np.array([(40 * i, 40 * j, *random.uniform(15, 30, 2)) for i in range(9) for j in range(9)])[: random.integers(30, 81)]
    missed = random.random(len(known)) < 0.25
    found = known[~missed] + random.normal(0, 2.2, (int((~missed).sum()), 4))
    nowhere = np.column_stack([random.uniform(500, 900, (14, 2)), random.uniform(5, 9, (14, 2))])
    found = np.concatenate([found, nowhere])
    return known, found, random.permutation(CONFIDENCE_BINS - 1)[: len(found)] / CONFIDENCE_BINS + 0.5 / CONFIDENCE_BINS


def coco(known: np.ndarray, found: np.ndarray, confidence: np.ndarray) -> COCOeval:
    truth = COCO()
    annotations = [
        {"id": n + 1, "image_id": 1, "category_id": 1, "bbox": list(box), "area": box[2] * box[3], "iscrowd": 0}
        for n, box in enumerate(known)
    ]
    truth.dataset = {"info": {}, "images": [{"id": 1}], "categories": [{"id": 1}], "annotations": annotations}
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        told = [{"image_id": 1, "category_id": 1, "bbox": list(box), "score": score} for box, score in zip(found, confidence, strict=True)]
        judged = COCOeval(truth, truth.loadRes(told), "bbox")
        judged.params.maxDets = [len(found)]
        judged.evaluate()
        judged.accumulate()
    return judged


def iou(known: np.ndarray, found: np.ndarray) -> np.ndarray:
    low, high = (
        np.maximum(known[:, None, :2], found[None, :, :2]),
        np.minimum((known[:, :2] + known[:, 2:])[:, None], found[:, :2] + found[:, 2:]),
    )
    common = np.maximum(high - low, 0).prod(2)
    return common / (known[:, 2:].prod(1)[:, None] + found[:, 2:].prod(1)[None] - common)


@pytest.mark.parametrize("seed", range(4))
def test_precision_and_recall_are_cocos(seed: int) -> None:
    known, found, confidence = boxes(seed)
    judged = coco(known, found, confidence)
    best, number = iou(known, found).max(0), (confidence * CONFIDENCE_BINS).astype(int)
    every = np.bincount(number, minlength=CONFIDENCE_BINS)
    hits = [np.bincount(number[best >= least], minlength=CONFIDENCE_BINS) for least in THRESHOLDS]
    wanted = judged.eval["precision"][:, :, 0, 0, 0].mean(1)
    assert [average_precision(each, every, len(known)) for each in hits] == pytest.approx(wanted, abs=1e-9)
    assert average_recall(np.array([each.sum() for each in hits]), len(known)) == pytest.approx(judged.eval["recall"][:, 0, 0, 0].mean())
    assert 0.1 < wanted.mean() < wanted[0] < 0.9


def test_figures_of_regions_are_of_their_own_counts_and_all_of_all() -> None:
    empty = dict.fromkeys(COUNTS, 0.0)
    right = {**empty, "hits": 2, "vertices": 9, "known_vertices": 8, "polis_count": 2, "mta_count": 1}
    right |= {"polis_sum": 0.6 * NANO, "mta_sum": 50.0 * NANO}
    rows = [
        {**right, "region": "a", "bin": 900, "found": 3, "known": 0},
        {**empty, "region": "a", "bin": 0, "found": 0, "known": 4},
        {**empty, "region": "", "bin": 400, "found": 1, "known": 0},
    ]
    told = figures_by_region(pd.DataFrame(rows), pd.DataFrame({"region": ["", "a"], "invalid": [1, 0], "overlapping": [0, 2]}))
    assert set(told) == {"all", "a"}
    assert (told["a"]["precision"], told["a"]["recall"], told["a"]["polis"], told["a"]["mta"]) == pytest.approx((2 / 3, 0.5, 0.3, 50))
    assert told["all"]["f1"] == pytest.approx(4 / 8) and told["a"]["f1"] == pytest.approx(4 / 7)
    assert (told["all"]["invalid"], told["a"]["invalid"], told["a"]["overlapping"]) == (1, 0, 2)
    assert figures_by_region(pd.DataFrame(columns=["region", "bin", "found", "known", *COUNTS]), pd.DataFrame({"region": []})) == {}
