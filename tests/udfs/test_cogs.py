"""Exported files read back by rasterio: the same pixels in the same place, overviews that know no data from data."""

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.io import MemoryFile

from udfs.cogs import BUILT, PROBABILITY, built_pixels, cog_bytes, overview_count

CRS = "EPSG:32736"
TRANSFORM = Affine(10, 0, 300_000, 0, -10, 9_990_400)


def pixels(height: int, width: int) -> np.ndarray:
    values = np.random.default_rng(3).integers(0, 251, (height, width)).astype(np.uint8)
    values[:101, :77] = 255
    values[200, 33] = 255
    return values


@pytest.mark.parametrize(("side", "block", "overviews"), [(256, 256, [2, 4]), (512, 512, [2, 4, 8]), (1024, 256, [2, 4, 8, 16])])
def test_pixels_place_and_tags_come_back(side: int, block: int, overviews: list[int]) -> None:
    values = pixels(side, side)
    data = cog_bytes(values, CRS, TRANSFORM, PROBABILITY, {"TILE_ID": "t", "ATTRIBUTION": "Mapper é"}, block)
    with MemoryFile(data) as memory, memory.open() as image:
        assert np.array_equal(image.read(1), values)
        assert (image.crs, image.transform, image.nodata, image.scales) == (CRS, TRANSFORM, 255, (0.004,))
        assert image.read(1, masked=True).mask.sum() == (values == 255).sum()
        assert image.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG" and image.tags(ns="IMAGE_STRUCTURE")["COMPRESSION"] == "DEFLATE"
        assert (image.block_shapes, image.overviews(1)) == ([(block, block)], overviews)
        assert (image.tags()["TILE_ID"], image.tags()["ATTRIBUTION"]) == ("t", "Mapper é")
        assert "probability" in image.descriptions[0]


def test_headers_come_before_pixels_and_small_before_large() -> None:
    data = cog_bytes(pixels(512, 512), CRS, TRANSFORM, PROBABILITY, {})
    starts = []
    with MemoryFile(data) as memory:
        for level in (None, 0, 1, 2):
            with memory.open(**({} if level is None else {"OVERVIEW_LEVEL": level})) as image:
                header = int(image.get_tag_item("IFD_OFFSET", "TIFF", bidx=1))
                starts.append((header, int(image.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1))))
    headers, blocks = zip(*starts, strict=True)
    assert max(headers) < min(blocks)
    assert list(blocks) == sorted(blocks, reverse=True)


def test_an_overview_averages_the_pixels_with_data_only() -> None:
    values = pixels(256, 256)
    squares = np.ma.masked_equal(values, 255).reshape(128, 2, 128, 2).astype(float)
    expected = squares.mean(axis=(1, 3)).filled(255)
    with MemoryFile(cog_bytes(values, CRS, TRANSFORM, PROBABILITY, {})) as memory, memory.open(OVERVIEW_LEVEL=0) as image:
        small = image.read(1)
    assert np.array_equal(small == 255, expected == 255)
    assert np.abs(small - expected).max() <= 0.5


def test_an_overview_of_the_binary_map_has_its_values_only() -> None:
    built = built_pixels(pixels(512, 512), 100)
    with MemoryFile(cog_bytes(built, CRS, TRANSFORM, BUILT, {})) as memory, memory.open(OVERVIEW_LEVEL=1) as image:
        small = image.read(1)
    assert set(np.unique(small)) == {0, 1, 255}
    assert (small[:25, :19] == 255).all()


def test_built_pixels_begin_at_the_threshold() -> None:
    assert built_pixels(np.array([[0, 99, 100], [101, 250, 255]], np.uint8), 100).tolist() == [[0, 0, 1], [1, 1, 255]]


def test_the_same_pixels_give_the_same_bytes_and_leave_gdal_as_it_was() -> None:
    before = rasterio.env.hasenv()
    made = {
        cog_bytes(pixels(256, 256), CRS, TRANSFORM, PROBABILITY, dict(order))
        for order in ((("A", "1"), ("B", "2")), (("B", "2"), ("A", "1")))
    }
    assert len(made) == 1
    assert rasterio.env.hasenv() == before


@pytest.mark.parametrize(("side", "count"), [(64, 0), (65, 1), (128, 1), (256, 2), (1024, 4)])
def test_overviews_end_at_sixty_four_pixels(side: int, count: int) -> None:
    assert overview_count(side) == count
