"""Leaks between splits: ground that lies too near, or one image in two places. Either makes a judgement worthless."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from udfs.splits import REACH_DDL, reach_batches

SHOWN = 3
PARTS = 4
"""Of a hash's 64 bits: two that differ in fewer bits than this have a part in common."""
WITHOUT_ARRAYS = ("layer", "epoch", "tile_id", "split", "hash", "geometry")


class LeakError(RuntimeError):
    """Two splits share ground or an image."""


def check_leaks(tiles: DataFrame, gap_m: float, like_bits: int) -> None:
    """Raises LeakError where tiles of a layer and of different splits lie within `gap_m` metres, or their images' hashes differ in at
    most `like_bits`."""
    used = tiles.where("split != 'dropped'").select(*WITHOUT_ARRAYS)
    for layer in sorted(row["layer"] for row in used.select("layer").distinct().collect()):
        # One at a time: an equality beside the spatial condition would cost Sedona's join.
        own = used.where(F.col("layer") == layer)
        _refuse(_near(own, gap_m), f"lie within {gap_m:g} m of each other", "raise training_tiles.gap_m or block_km")
        _refuse(_alike(own, like_bits), "show the same image", "take one of the two sources away, or put both grounds into one region")


def _near(used: DataFrame, gap_m: float) -> DataFrame:
    """Pairs of squares, by a box around each: nearer than the true distance at its corners."""
    squares = used.select("tile_id", "split", "geometry").dropDuplicates(["tile_id"])
    reach = squares.mapInPandas(lambda frames: reach_batches(frames, gap_m), REACH_DDL)
    one = reach.selectExpr("tile_id AS one", "split AS one_split", "ST_GeomFromWKB(reach) AS reach")
    other = squares.selectExpr("tile_id AS other", "split AS other_split", "ST_GeomFromWKB(geometry) AS ground")
    pairs = one.join(other, F.expr("ST_Intersects(reach, ground)"), how="inner")
    return pairs.where("one_split != other_split AND one < other").select("one", "one_split", "other", "other_split")


def _alike(used: DataFrame, like_bits: int) -> DataFrame:
    """Pairs whose hashes differ little: of PARTS parts such two have one in common, so that they meet by an equality."""
    part = f"concat(n, ':', shiftrightunsigned(hash, n * {64 // PARTS}) & {2 ** (64 // PARTS) - 1})"
    keys = f"explode(transform(sequence(0, {PARTS - 1}), n -> {part})) AS part"
    hashed = used.where("hash IS NOT NULL").selectExpr("tile_id", "split", "hash", keys)
    one, other = (
        hashed.selectExpr(f"tile_id AS {side}", f"split AS {side}_split", f"hash AS {side}_hash", "part") for side in ("one", "other")
    )
    pairs = one.join(other, on="part").where("one_split != other_split AND one < other")
    return pairs.where(f"bit_count(one_hash ^ other_hash) <= {like_bits}").select("one", "one_split", "other", "other_split").distinct()


def _refuse(pairs: DataFrame, what: str, step: str) -> None:
    found = pairs.orderBy("one", "other").limit(SHOWN).collect()
    if found:
        named = "; ".join(f"{row['one']} ({row['one_split']}) and {row['other']} ({row['other_split']})" for row in found)
        raise LeakError(f"training_tiles: {named} {what}; {step}")
