"""A place of one small image, and what a refused command leaves."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from jobs.cli import main


def write_image(path: Path, crs: str | None, pixel: float = 0.5) -> Path:
    values = np.arange(3 * 5 * 7, dtype=np.uint8).reshape(3, 5, 7) + 1
    profile = {
        "driver": "GTiff",
        "count": 3,
        "height": 5,
        "width": 7,
        "dtype": "uint8",
        "transform": Affine(pixel, 0, 300_000, 0, -pixel, 2_100_000),
    }
    with rasterio.open(path, "w", crs=crs, **profile) as file:
        file.write(values)
    return path


def refused(capsys: pytest.CaptureFixture[str], warehouse: Path, *arguments: str) -> str:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1, captured.err
    assert not warehouse.exists()
    return captured.err
