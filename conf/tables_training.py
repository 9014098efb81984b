"""Tables of training: labels and labelled ground."""

from conf.table import Check, Column, Table, bbox_columns, geometry_column

FOOTPRINTS = Table(
    "footprints",
    "a building as someone published it",
    ("footprint_id",),
    (
        Column("footprint_id", "string", "digest of source and outline"),
        Column("source", "string", "microsoft, google, overture, osm or the name of a vector file"),
        geometry_column("footprint"),
        *bbox_columns(),
        Column("confidence", "double", "of whoever published it, 0-1; null: not told", nullable=True),
        Column("label_date", "date", "day by which it stood: upload, edit, or year built; null: not told", nullable=True),
        Column("licence", "string", "of the source", nullable=True),
        Column("attribution", "string", "to print beside results", nullable=True),
    ),
    (
        Check("xmin < xmax and ymin < ymax", "a footprint without area"),
        Check("confidence is null or confidence between 0 and 1", "a confidence that is no share"),
    ),
)

TRAINING_TILES = Table(
    "training_tiles",
    "labelled ground: a tile x epoch x layer that footprints lie on or were looked for",
    ("layer", "epoch", "tile_id"),
    (
        Column("layer", "string", "layer of the place"),
        Column("epoch", "string", "epoch of the place"),
        Column("tile_id", "string", "grid, resolution, tile_px, row and column"),
        Column("region", "string", "world region; null: none declared", nullable=True),
        Column("split", "string", "train, choose, judge, or dropped"),
        Column("reason", "string", "why it is dropped", nullable=True),
        Column("sensor", "string", "of the images: a key of conf/sensors.py", nullable=True),
        Column("band_names", "array<string>", "bands of the values, in order"),
        Column("bands", "int", "number of bands", nullable=True),
        Column("height", "int", "pixels", nullable=True),
        Column("width", "int", "pixels", nullable=True),
        Column("values", "binary", "composite, float16 (bands, height, width), NaN = no data", nullable=True),
        Column("labels", "binary", "uint8 (height, width), 0-250", nullable=True),
        Column("weights", "binary", "uint8 (height, width), tenths; 0 = no label", nullable=True),
        Column("footprints", "int", "that meet it"),
        Column("built_share", "double", "mean label, 0-1", nullable=True),
        Column("sealed_share", "double", "share of sealed surfaces, 0-1, that labels count; null: none are given", nullable=True),
        Column("image_date", "date", "middle one of the images used", nullable=True),
        Column("label_date", "date", "middle one of the footprints", nullable=True),
        Column("shift_down", "double", "labels were moved so many pixels south", nullable=True),
        Column("shift_right", "double", "and east", nullable=True),
        Column("fit", "double", "R2 of labels on the image there; null: not to be told", identity=False, nullable=True),
        Column("hash", "bigint", "perceptual hash of the image; null: no data, or nothing to see", nullable=True),
        Column("scenes_used", "array<string>", "images that gave pixels"),
        geometry_column("outline of the tile"),
        *bbox_columns(),
    ),
    (
        Check("split in ('train', 'choose', 'judge', 'dropped')", "a split that does not exist"),
        Check("(split = 'dropped') = (reason is not null)", "a dropped tile without its reason"),
        Check("split = 'dropped' or (values is not null and labels is not null and weights is not null)", "a tile without its arrays"),
    ),
)
