"""Probability rasters as they lie in tables: uint8, deflate-compressed."""

import zlib

import numpy as np
from numpy.typing import NDArray

from conf.rasters import NO_DATA, ONE

__all__ = ["NO_DATA", "ONE", "decode_raster", "encode_raster"]


def encode_raster(values: NDArray[np.uint8]) -> bytes:
    """Deflate bytes of a C-ordered uint8 array."""
    return zlib.compress(np.ascontiguousarray(values).tobytes(), 1)


def decode_raster(data: bytes, shape_yx: tuple[int, int]) -> NDArray[np.uint8]:
    """The uint8 array (height, width) of `encode_raster`; raises ValueError when the size differs."""
    return np.frombuffer(zlib.decompress(data), np.uint8).reshape(shape_yx)
