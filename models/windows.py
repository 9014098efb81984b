"""Training windows read from Parquet."""

import hashlib
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from conf.windows import WINDOW_COLUMNS


class Window(NamedTuple):
    """Ground of any size with labels; the columns of conf/windows.py."""

    source: str
    split: str
    share: float
    values: NDArray[np.float16]
    labels: NDArray[np.uint8]
    weights: NDArray[np.uint8]
    sensor: str = ""
    """A key of conf/sensors.py, or what is simulated; empty: not told."""
    ground: str = ""
    """Windows that name the same show the same pixels at several dates."""
    date: str = ""
    """ISO, that the window stands for; empty: not told."""
    tells: str = ""
    """CHANGES where labels of one ground's dates only tell what differs between them."""

    @property
    def place(self) -> str:
        """Its ground, or its source where that is told of none."""
        return self.ground or self.source


def read_windows(paths: Iterable[str]) -> list[Window]:
    """The windows of Parquet files, by source."""
    import pyarrow.parquet as pq

    rows = [row for path in paths for row in pq.read_table(path, columns=list(WINDOW_COLUMNS)).to_pylist()]
    return sorted(map(window_of, rows), key=lambda window: (window.source, window.split))


def window_of(row: dict[str, Any]) -> Window:
    """A row with the columns of conf/windows.py."""
    shape = (row["height"], row["width"])
    values = np.frombuffer(row["values"], np.float16).reshape(row["bands"], *shape)
    labels, weights = (np.frombuffer(row[name], np.uint8).reshape(shape) for name in ("labels", "weights"))
    told = (row.get(name) or "" for name in ("sensor", "ground", "date", "tells"))
    return Window(row["source"], row["split"], row["share"], values, labels, weights, *told)


def windows_digest(windows: Iterable[Window]) -> str:
    """sha256, hex, over what the windows show and say."""
    content = hashlib.sha256()
    for window in windows:
        content.update(
            f"{window.source}|{window.split}|{window.share!r}|{window.values.shape}{window.ground}{window.date}{window.tells}".encode()
        )
        for values in (window.values, window.labels, window.weights):
            content.update(np.ascontiguousarray(values).tobytes())
    return content.hexdigest()


def region_of(source: str) -> str:
    """The world region of a window's source, as a name of figures: what stands before its first slash; of a simulated city its look."""
    words = source.split()
    name = words[2] if words[0].startswith("simulated") and len(words) > 2 else source.partition("/")[0]
    return figure_name(name)


def figure_name(text: str) -> str:
    """Letters that names of figures cannot have become _."""
    return re.sub(r"[^\w.: -]", "_", text)


def groups_of(windows: Iterable[Window]) -> dict[str, list[str]]:
    """World region and sensor of each window."""
    listed = list(windows)
    return {"region": [region_of(window.source) for window in listed], "sensor": [window.sensor for window in listed]}
