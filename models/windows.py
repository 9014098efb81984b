"""Training windows as they lie in Parquet, and crops drawn from them. Float16 values, NaN = no data."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

SCHEMA = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("share", pa.float64(), nullable=False),
        pa.field("bands", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("values", pa.large_binary(), nullable=False),
        pa.field("labels", pa.large_binary(), nullable=False),
        pa.field("weights", pa.large_binary(), nullable=False),
    ]
)
FULL_LABEL = 250
"""The uint8 label that stands for 1."""
FULL_WEIGHT = 10
"""The uint8 weight that stands for 1; 0 = no label."""


class Window(NamedTuple):
    """Ground of any size with labels."""

    source: str
    split: str
    """`train` or `choose` (thresholds and checkpoints)."""
    share: float
    """How often it is drawn, relative to its pixels."""
    values: NDArray[np.float16]
    """(bands, height, width), NaN = no data."""
    labels: NDArray[np.uint8]
    """(height, width), 0-250: probability that the pixel is built."""
    weights: NDArray[np.uint8]
    """(height, width), tenths; 0 = no label."""


def window_rows(windows: Iterable[Window]) -> pa.Table:
    """Windows as a table of SCHEMA."""
    rows = [
        (w.source, w.split, w.share, *w.values.shape, _bytes(w.values, np.float16), _bytes(w.labels, np.uint8), _bytes(w.weights, np.uint8))
        for w in windows
    ]
    return pa.table([pa.array(column, kind.type) for column, kind in zip(zip(*rows, strict=True), SCHEMA, strict=True)], schema=SCHEMA)


def read_windows(paths: Iterable[str]) -> list[Window]:
    """The windows of Parquet files, in their order."""
    return [_window(row) for path in paths for row in pq.read_table(path, schema=SCHEMA).to_pylist()]


def _bytes(values: NDArray[np.generic], dtype: type[np.generic]) -> bytes:
    if values.dtype != dtype:
        raise ValueError(f"windows hold {dtype.__name__}, got {values.dtype}")
    return np.ascontiguousarray(values).tobytes()


def _window(row: dict[str, Any]) -> Window:
    shape = (row["height"], row["width"])
    values = np.frombuffer(row["values"], np.float16).reshape(row["bands"], *shape)
    labels, weights = (np.frombuffer(row[name], np.uint8).reshape(shape) for name in ("labels", "weights"))
    return Window(row["source"], row["split"], row["share"], values, labels, weights)
