"""Tables of buildings: footprints, and what became of them."""

from conf.table import Check, Column, Table, bbox_columns, geometry_column

OTHERS = "array<struct<source:string,feature_id:string,iou:double,overlap_m2:double>>"

BUILDINGS = Table(
    "buildings",
    "a building footprint",
    ("layer", "epoch", "building_id"),
    (
        Column("layer", "string", "layer of the place"),
        Column("epoch", "string", "epoch of the place"),
        Column("building_id", "string", "hash of place on the grid and content"),
        geometry_column("footprint"),
        *bbox_columns(),
        Column("area_m2", "double", "geodesic area, m2"),
        Column("perimeter_m", "double", "geodesic length of the exterior, m"),
        Column("orientation_deg", "double", "azimuth of the long side of the smallest rectangle around it, degrees from north, 0-180"),
        Column("compactness", "double", "4 pi area / perimeter2, 1 for a circle"),
        Column("neighbour_m", "double", "from the next building, m; 0 where they meet; null: none within 100 m", nullable=True),
        Column("height_m", "double", "median of the raster of heights inside, m; null: none is given, or it has no data", nullable=True),
        Column("confidence", "double", "mean probability inside, 0-1"),
        Column("vertices", "int", "of all rings, closing vertices not counted"),
        Column("shape", "string", "regularised or raw"),
        Column("open_edge", "boolean", "it, or what was mapped as one with it in a tile, touches ground without result, so it may go on"),
        Column("first_date", "timestamp", "earliest image of its tiles", identity=False),
        Column("last_date", "timestamp", "latest image of its tiles", identity=False),
        Column("model_sha256", "string", "of the weights"),
    ),
    (
        Check("area_m2 > 0", "a footprint without area"),
        Check("confidence between 0 and 1", "confidence outside 0-1"),
        Check("perimeter_m > 0 and compactness between 0 and 1.001", "a footprint longer or rounder than its area allows"),
        Check("neighbour_m is null or neighbour_m between 0 and 100", "a neighbour out of reach"),
        Check("orientation_deg between 0 and 180", "orientation outside 0-180"),
        Check("shape in ('regularised', 'raw')", "unknown shape"),
    ),
)

BRIDGE = Table(
    "bridge",
    "what became of a building from one release or epoch to another; one row for each pair, and each that has none",
    ("layer", "from_epoch", "to_epoch", "from_id", "to_id"),
    (
        Column("layer", "string", "layer of the place"),
        Column("from_epoch", "string", "epoch of the earlier buildings"),
        Column("to_epoch", "string", "epoch of the later ones"),
        Column("from_id", "string", "building_id before; null of a new one", nullable=True),
        Column("to_id", "string", "building_id after; null of one that is gone", nullable=True),
        Column("kind", "string", "same, moved, changed, split, merged, regrouped, new or gone"),
        Column("overlap_m2", "double", "ground that both share, m2", nullable=True),
        Column("iou", "double", "shared ground ÷ ground of either", nullable=True),
        Column("shift_m", "double", "between their middles, m", nullable=True),
    ),
    (
        Check("kind in ('same', 'moved', 'changed', 'split', 'merged', 'regrouped', 'new', 'gone')", "unknown kind"),
        Check("(kind = 'new') = (from_id is null)", "only a new one has no past"),
        Check("(kind = 'gone') = (to_id is null)", "only one that is gone has no future"),
        Check("iou is null or iou between 0 and 1", "iou outside 0-1"),
    ),
)

CONFLATION = Table(
    "conflation",
    "a building, out of what was mapped here and what others publish, each once; no two share ground",
    ("feature_id",),
    (
        Column("feature_id", "string", "building_id or footprint_id"),
        Column("source", "string", "whose outline it is: urbantrace, or as in table footprints"),
        geometry_column("footprint"),
        *bbox_columns(),
        Column("area_m2", "double", "geodesic area, m2"),
        Column("trimmed", "boolean", "ground that others cover too is cut off"),
        Column("agreement", "string", "agreed: another source has it, IoU >= 0.5; overlapped: others show something else there; alone"),
        Column("others", OTHERS, "what was left out for it, wholly or in part: source, id, IoU and shared ground, m2"),
        Column("mapped", "boolean", "the layer mapped here has data there; null: none is", nullable=True),
        Column("unit_id", "string", "smallest unit it lies in; null: none", nullable=True),
        Column("confidence", "double", "of its source, 0-1; null: not told", nullable=True),
        Column("date", "date", "day by which it stood, or of the last image; null: not told", nullable=True),
        Column("licence", "string", "of the source", nullable=True),
        Column("attribution", "string", "to print beside results", nullable=True),
    ),
    (
        Check("area_m2 > 0", "a footprint without area"),
        Check("agreement in ('agreed', 'overlapped', 'alone')", "unknown agreement"),
        Check("agreement = 'alone' or size(others) > 0", "agreement with nobody"),
    ),
)
