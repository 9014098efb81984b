"""A Spark job over rows of hrefs, whose workers open and read, ÷ the same over rows of pixels, files read by Spark (binaryFile): of the
images that the hrefs name, and of tile files that somebody has cut and written before, which is not counted.

All give a checksum for each tile with its halo. The tile files hold the halo, as they must; the images do not hold a pixel twice.
Each run has a process, a JVM and workers of its own, so that peaks can be compared."""

import os
import statistics
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import rasterio
from numpy.typing import NDArray
from pyspark import cloudpickle
from pyspark.sql import DataFrame, SparkSession
from rasterio.io import MemoryFile
from rasterio.windows import Window

from benchmarks.memory import SessionUse, in_own_process
from benchmarks.pairs import Measure
from jobs.arrow_batches import rows_per_batch
from jobs.session import start_session
from udfs.images import ImagePool, gdal

SIDE, BLOCK, TILE_PX, HALO, BANDS, IMAGES = 4096, 512, 512, 40, 3, 24
WIDTH = TILE_PX + 2 * HALO
REACH, MEMORY_REACH, PAIRS = 2.0, 0.5, 5
HREFS, IMAGE_FILES, TILE_FILES = "hrefs", "image files", "tile files"
PARTITIONS = 6
"""Three a core, as in job `built_up`."""
ROWS = {HREFS: 64, IMAGE_FILES: 1, TILE_FILES: 8}
"""At once to a worker: of tile files, of 1 to 64 the fastest."""
CHECKSUMS = "tile int, checksum bigint"
Shell = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]


class Run(NamedTuple):
    """Seconds; peaks, MiB: of an idle session's processes together, of the run's, of its JVM, of its largest worker; checksum by tile."""

    seconds: float
    idle: float
    peak: float
    jvm: float
    worker: float
    checksums: dict[int, int]


def measure() -> list[Measure]:
    """Throughput, and memory of the JVM and the workers together. Raises ValueError where checksums differ."""
    runs: dict[str, list[Run]] = {HREFS: [], IMAGE_FILES: [], TILE_FILES: []}
    with tempfile.TemporaryDirectory() as folder:
        tiles = write_images(Path(folder))
        for pair in range(PAIRS):
            for kind in runs if pair % 2 == 0 else reversed(runs):
                runs[kind].append(in_own_process(run, kind, folder))
    agree([each.checksums for kind in runs.values() for each in kind], tiles)
    return [
        *_beside(runs, IMAGE_FILES, "descriptors", REACH, MEMORY_REACH),
        *_beside(runs, TILE_FILES, "descriptors: tiles cut before", None, None),
    ]


def _beside(runs: dict[str, list[Run]], kind: str, name: str, reach: float | None, memory_reach: float | None) -> list[Measure]:
    pairs = list(zip(runs[HREFS], runs[kind], strict=True))
    seconds = tuple(theirs.seconds / ours.seconds for ours, theirs in pairs)
    peaks = tuple(ours.peak / theirs.peak for ours, theirs in pairs)
    above = tuple((ours.peak - ours.idle) / (theirs.peak - theirs.idle) for ours, theirs in pairs)
    note = f"{len(runs[HREFS][0].checksums)} tiles of {WIDTH} px; hrefs {_median(runs[HREFS], 'seconds'):.2f} s"
    needs = "; ".join(
        f"{each} JVM {_median(runs[each], 'jvm'):.0f}, worker {_median(runs[each], 'worker'):.0f} MiB" for each in (HREFS, kind)
    )
    return [
        Measure(name, "x", seconds, reach, note=note),
        Measure(f"{name}: memory", "x", peaks, memory_reach, at_most=True, note=needs),
        Measure(f"{name}: above idle", "x", above, note="memory less that of a session which has done nothing"),
    ]


def _median(runs: list[Run], what: str) -> float:
    return statistics.median(getattr(run, what) for run in runs)


def agree(checksums: list[dict[int, int]], tiles: int) -> None:
    """Raises ValueError unless all runs give every tile the same checksum."""
    if len(checksums[0]) != tiles or any(other != checksums[0] for other in checksums):
        raise ValueError(f"checksums of {tiles} tiles differ")


def run(kind: str, folder: str) -> Run:
    """A job, after one over one of the images that warms it up."""
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers import what they use, and no more
    spark = start_session("local[2]", {})
    with SessionUse() as idle:
        spark.range(2).count()
    job = partial({HREFS: _of_hrefs, IMAGE_FILES: _of_image_files, TILE_FILES: _of_tile_files}[kind], spark, folder)
    with SessionUse() as use:
        job(1)
        started = time.perf_counter()
        checksums = job(IMAGES)
        seconds = time.perf_counter() - started
    spark.stop()
    return Run(seconds, idle.together, use.together, use.jvm, use.worker, checksums)


def _of_hrefs(spark: SparkSession, folder: str, images: int) -> dict[int, int]:
    rows = [
        (image * len(corners()) + number, str(image_path(Path(folder), image)), *corner)
        for image in range(images)
        for number, corner in enumerate(corners())
    ]
    frame = spark.createDataFrame(rows, "tile int, href string, top int, left int")
    near = frame.repartitionByRange(PARTITIONS, "tile").sortWithinPartitions("tile")
    with rows_per_batch(spark, ROWS[HREFS]):
        return _collected(near.mapInArrow(read_hrefs, CHECKSUMS))


def _of_image_files(spark: SparkSession, folder: str, images: int) -> dict[int, int]:
    paths = [str(image_path(Path(folder), image)) for image in range(images)]
    return _of_files(spark, paths, ROWS[IMAGE_FILES], read_images)


def _of_tile_files(spark: SparkSession, folder: str, images: int) -> dict[int, int]:
    return _of_files(spark, [f"{folder}/tiles{image}" for image in range(images)], ROWS[TILE_FILES], read_tiles)


def _of_files(spark: SparkSession, paths: list[str], rows: int, shell: Shell) -> dict[int, int]:
    frame = spark.read.format("binaryFile").load(paths).select("path", "content")
    with rows_per_batch(spark, rows):
        return _collected(frame.mapInArrow(shell, CHECKSUMS))


def _collected(frame: DataFrame) -> dict[int, int]:
    return {row.tile: row.checksum for row in frame.collect()}


def read_hrefs(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Shell: `tile`, `href`, `top`, `left` to CHECKSUMS."""
    with gdal(), ImagePool() as images:
        for batch in batches:
            yield _rows({row["tile"]: _window(images, **row) for row in batch.to_pylist()})


def _window(images: ImagePool, tile: int, href: str, top: int, left: int) -> int:
    image = images.get(href)
    window = Window(left, top, WIDTH, WIDTH)
    return checksum(np.stack([image.pixels(band, window) for band in range(1, BANDS + 1)]))


def read_images(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Shell: `path`, `content` of image files to CHECKSUMS of their tiles."""
    with gdal():
        for batch in batches:
            for path, content in zip(batch["path"], batch["content"], strict=True):
                number = int(Path(str(path)).stem.removeprefix("image"))
                with MemoryFile(memoryview(content.as_buffer())) as file, file.open(driver="GTiff") as image:
                    places = corners(image.width)
                    read = [checksum(image.read(window=Window(left, top, WIDTH, WIDTH))) for top, left in places]
                yield _rows(dict(enumerate(read, number * len(places))))


def read_tiles(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Shell: `path`, `content` of tile files to CHECKSUMS."""
    with gdal():
        for batch in batches:
            pairs = zip(batch["path"], batch["content"], strict=True)
            yield _rows({int(Path(str(path)).stem): _decoded(content.as_buffer()) for path, content in pairs})


def _decoded(content: Any) -> int:
    with MemoryFile(memoryview(content)) as file, file.open(driver="GTiff") as image:
        return checksum(image.read())


def _rows(found: dict[int, int]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(found.keys(), pa.int32()), pa.array(found.values(), pa.int64())], ["tile", "checksum"])


def checksum(pixels: NDArray[np.uint16]) -> int:
    """Of pixels (bands, height, width)."""
    return zlib.crc32(np.ascontiguousarray(pixels))


def corners(side: int = SIDE) -> list[tuple[int, int]]:
    """Top and left of the tiles with their halo, all within the image, off its block lines as on a global grid."""
    starts = range(BLOCK - 2 * HALO, side - WIDTH, TILE_PX)
    return [(top, left) for top in starts for left in starts]


def image_path(folder: Path, image: int) -> Path:
    return folder / f"image{image}.tif"


def write_images(folder: Path, side: int = SIDE, images: int = IMAGES) -> int:
    """Images, and a file for each tile of them with its halo; how many tiles. All uint16, deflate, predictor 2.

    All have the first one's pixels: its files under other names.
    """
    random = np.random.default_rng(4)
    rows, columns = np.indices((side, side), np.float32)
    ground = 1500 + 400 * np.sin(rows / 90) * np.cos(columns / 130)
    pixels = np.stack([(ground + 200 * band + random.normal(0, 60, ground.shape)).astype(np.uint16) for band in range(BANDS)])
    for image in range(images):
        (folder / f"tiles{image}").mkdir()
    _write(image_path(folder, 0), pixels, blockxsize=BLOCK, blockysize=BLOCK, tiled=True)
    for number, (top, left) in enumerate(corners(side)):
        _write(folder / "tiles0" / f"{number}.tif", pixels[:, top : top + WIDTH, left : left + WIDTH], blockysize=WIDTH)
    for image in range(1, images):
        os.link(image_path(folder, 0), image_path(folder, image))
        for number in range(len(corners(side))):
            os.link(folder / "tiles0" / f"{number}.tif", folder / f"tiles{image}" / f"{image * len(corners(side)) + number}.tif")
    return images * len(corners(side))


def _write(path: Path, pixels: NDArray[np.uint16], **layout: Any) -> None:
    profile = {"count": len(pixels), "height": pixels.shape[1], "width": pixels.shape[2], "dtype": "uint16", "crs": "EPSG:32633"}
    transform = rasterio.Affine(10, 0, 399_960, 0, -10, 4_600_020)
    with rasterio.open(
        path, "w", driver="GTiff", transform=transform, compress="deflate", predictor=2, interleave="band", **profile, **layout
    ) as file:
        file.write(pixels)
