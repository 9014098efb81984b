"""Windows as our reader and rasterio give them: the same arrays, at the image's edges and its ground without data, too."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks import reads
from benchmarks.reads import Values, agree, composited, image, kept, ours, reopened, windows

SIDE = 1100


def test_all_readers_give_the_same_arrays(tmp_path: Path) -> None:
    scene, asked = image(tmp_path, SIDE), windows(SIDE)
    for other in (kept(scene, asked, True), kept(scene, asked, False), reopened(scene, asked), composited(scene, asked)):
        agree(ours(scene, asked), other)


def test_windows_show_ground_its_edge_and_no_data(tmp_path: Path) -> None:
    scene, asked = image(tmp_path, SIDE), windows(SIDE)
    shares = [float(np.isnan(values[0]).mean()) for values in ours(scene, asked)]
    assert len(asked) == 9
    assert min(shares) < 0.01 < 0.2 < max(shares) < 1
    assert all((bounds.left - reads.CORNER.left) % reads.BLOCK for bounds in asked)


def test_one_other_pixel_is_a_disagreement(tmp_path: Path) -> None:
    scene, asked = image(tmp_path, SIDE), windows(SIDE)

    def altered() -> Iterator[Values]:
        for number, values in enumerate(kept(scene, asked, False)):
            if number == 4:
                values[1, 300, 200] += np.float32(1e-4)
            yield values

    with pytest.raises(ValueError, match="window 4"):
        agree(ours(scene, asked), altered())
