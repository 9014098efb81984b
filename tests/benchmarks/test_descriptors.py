"""Rows of hrefs and rows of pixels give the same checksums."""

from pathlib import Path

import pyarrow as pa
import pytest
import rasterio

from benchmarks.descriptors import WIDTH, agree, checksum, corners, image_path, read_hrefs, read_images, read_tiles, write_images

SIDE = 1700


def checksums(batches: list[pa.RecordBatch]) -> dict[int, int]:
    return {row["tile"]: row["checksum"] for batch in batches for row in batch.to_pylist()}


def test_all_kinds_of_rows_give_the_windows_checksums(tmp_path: Path) -> None:
    tiles = write_images(tmp_path, SIDE, images=2)
    places = [(image, *corner) for image in range(2) for corner in corners(SIDE)]
    hrefs = [
        {"tile": number, "href": str(image_path(tmp_path, image)), "top": top, "left": left}
        for number, (image, top, left) in enumerate(places)
    ]
    of_hrefs = checksums(list(read_hrefs(iter([pa.RecordBatch.from_pylist(hrefs)]))))
    of_files = [
        checksums(list(shell(iter(pa.RecordBatch.from_pylist([{"path": f"file:{path}", "content": path.read_bytes()}]) for path in paths))))
        for shell, paths in (
            (read_images, sorted(tmp_path.glob("*.tif"), reverse=True)),
            (read_tiles, sorted(tmp_path.glob("tiles*/*"), reverse=True)),
        )
    ]
    agree([of_hrefs, *of_files], tiles)
    _, top, left = places[-1]
    with rasterio.open(image_path(tmp_path, 1)) as file:
        assert of_hrefs[tiles - 1] == checksum(file.read(window=rasterio.windows.Window(left, top, WIDTH, WIDTH)))


def test_a_lost_or_other_tile_is_a_disagreement() -> None:
    for other in ({0: 7}, {0: 7, 1: 8}):
        with pytest.raises(ValueError, match="2 tiles differ"):
            agree([{0: 7, 1: 9}, other], 2)
    with pytest.raises(ValueError, match="2 tiles differ"):
        agree([{0: 7}, {0: 7}], 2)
