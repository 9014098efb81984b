"""Buildings side by side: whole components of built pixels, split where the network says that one ends and the next begins.

It is done once a component is whole, so that no cutting into tiles changes it."""

from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from udfs.cores import Labels, Raster, parted
from udfs.grid import PixelBounds
from udfs.merging import packed_corners, pixel_number, unpacked_corners
from udfs.rasters import decode_raster
from udfs.tracing import Corners, corners_of_parts, sums_of_turns

MOST_BOX_PX = 2**24
"""A component in a larger box, such as a town grown together, is not split: that would take over a gigabyte."""


_OF_PIECES: dict[str, Callable[[list[Any]], Any]] = {"open_edge": max, "first_date": min, "last_date": max, "model_sha256": min}


class _Whole(NamedTuple):
    """A component's pixels in its box: depth, probability and, from 1, the number of its piece; 0 outside."""

    box: PixelBounds
    depth: Raster
    probability: Raster
    piece: Labels


def split_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Pieces of whole components, with `component` and `open_edge`: those of a component that holds several buildings become one piece for
    each building, its `component` the number of its first pixel; `parted` says which. Others stay as they are."""
    frame = frame.assign(parted=False)
    several = (frame.groupby("component")["cores"].transform("sum") > 1) & ~_in_part_untold(frame)
    split = {name: parts for name, pieces in frame[several].groupby("component", sort=True) if (parts := _buildings(pieces))}
    if not split:
        return frame
    kept = frame[~frame["component"].isin(split)]
    return pd.concat([kept, pd.DataFrame([row for parts in split.values() for row in parts])], ignore_index=True)


def _in_part_untold(frame: pd.DataFrame) -> "pd.Series[bool]":
    """Components that lie in part on tiles mapped by a network that tells no depth."""
    untold: pd.Series[bool] = frame["inside"].isna().groupby(frame["component"]).transform("any")
    return untold


def _buildings(pieces: pd.DataFrame) -> list[dict[Hashable, Any]]:
    """Rows of the buildings of one component; none where it is one building, or too large."""
    every = unpacked_corners(list(pieces["corners"]), np.arange(len(pieces)))
    box = PixelBounds(int(every.y.min()), int(every.x.min()), int(every.y.max()), int(every.x.max()))
    if np.prod(box.shape_yx) > MOST_BOX_PX:
        return []
    whole = _drawn(pieces, every, box)
    labels = parted(whole.depth, whole.piece > 0)
    return _rows(pieces, whole, labels) if labels.max() > 1 else []


def _drawn(pieces: pd.DataFrame, corners: Corners, box: PixelBounds) -> _Whole:
    """All pieces in one pass, however many there are: their turns times their numbers add up to the number of the piece at each pixel."""
    numbered = corners._replace(turn=corners.turn * (corners.owner + 1))
    piece = sums_of_turns(numbered, box.top, box.left, box.shape_yx)
    whole = _Whole(box, np.zeros(box.shape_yx, np.uint8), np.zeros(box.shape_yx, np.uint8), piece)
    inside = np.flatnonzero(whole.piece.ravel())
    inside = inside[np.argsort(whole.piece.ravel()[inside], kind="stable")]
    values = np.concatenate([decode_raster(each, (2, -1)) for each in pieces["inside"]], axis=1)
    whole.probability.ravel()[inside], whole.depth.ravel()[inside] = values
    return whole


def _rows(pieces: pd.DataFrame, whole: _Whole, labels: Labels) -> list[dict[Hashable, Any]]:
    """One for each label, told by the pieces that it lies in."""
    corners = corners_of_parts(labels)
    moved = corners._replace(y=corners.y + whole.box.top, x=corners.x + whole.box.left)
    count, first = int(labels.max()), np.searchsorted(corners.owner, np.arange(labels.max()))
    one = pieces.iloc[0].to_dict() | {"parted": True}
    # Plain lists: a frame for each component took ten times as long as all else.
    made = {
        "component": pixel_number(moved.y[first], moved.x[first]).tolist(),
        "corners": packed_corners(moved, first),
        "pixels": np.bincount(labels.ravel(), minlength=count + 1)[1:].tolist(),
        "probability_sum": _summed(whole.probability, labels, count).tolist(),
        **_told(pieces, whole.piece, labels),
    }
    return [one | dict(zip(made, values, strict=True)) for values in zip(*made.values(), strict=True)]


def _summed(values: Raster, labels: Labels, count: int) -> NDArray[np.int64]:
    return np.bincount(labels.ravel(), values.ravel(), count + 1)[1:].astype(np.int64)


def _told(pieces: pd.DataFrame, piece: Labels, labels: Labels) -> dict[str, list[Any]]:
    """What the pieces say that each label lies in, by name."""
    inside = labels > 0
    pairs = np.unique(labels[inside].astype(np.int64) * (len(pieces) + 1) + piece[inside])
    label, number = np.divmod(pairs, len(pieces) + 1)
    numbers = np.split(number - 1, np.flatnonzero(np.diff(label)) + 1)
    values = {name: pieces[name].tolist() for name in _OF_PIECES}
    return {name: [of([values[name][k] for k in each]) for each in numbers] for name, of in _OF_PIECES.items()}
