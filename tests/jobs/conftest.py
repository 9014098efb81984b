"""A place of one small image."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.jobs.toy_place import write_image


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """7 x 5 RGB pixels of 0.5 m."""
    return write_image(tmp_path / "image.tif", "EPSG:32643")


@pytest.fixture
def place_file(tmp_path: Path, image: Path) -> Callable[..., str]:
    """A place around the image, with changes."""

    def write(**changes: object) -> str:
        values = {
            "name": "toy",
            "warehouse": str(tmp_path / "warehouse"),
            "grid": "utm",
            "epochs": [{"name": "2020", "start": "2020-01-01", "end": "2020-12-31", "reference": "2020-07-01"}],
            "layers": {"buildings_50cm": {"sensor": "rgb", "model": "models:/buildings_50cm@champion", "resolution": 0.5}},
            "scenes": {"sources": [{"href": str(image), "sensor": "rgb", "datetime": "2020-03-01"}]},
            **changes,
        }
        path = tmp_path / "toy.yaml"
        path.write_text(yaml.safe_dump(values), encoding="utf-8")
        return str(path)

    return write
