"""Tables of how informal quarters look, and of the part of a unit for which something holds."""

from conf.table import Check, Column, Table, bbox_columns, geometry_column

INFORMALITY = Table(
    "informality",
    "a cell of about 100 m with built-up land: how informal it looks. A proxy of morphology; how people live there it cannot tell",
    ("epoch", "cell_id"),
    (
        Column("epoch", "string", "epoch of the place"),
        Column("cell_id", "string", "grid, pixel size, pixels along a side, row and column"),
        Column("grid", "string", "name of the grid"),
        Column("cell_px", "int", "side of the cell, pixels"),
        Column("row", "int", "cell row on the grid, from the north"),
        Column("col", "int", "cell column on the grid, from the west"),
        geometry_column("outline of the cell"),
        *bbox_columns(),
        Column("pixels", "int", "of them with data, as their neighbours"),
        Column("built_m2", "double", "built-up area in it, geodesic, m2"),
        Column("ndvi", "double", "(nir - red) / (nir + red) of the cell's sums", nullable=True),
        Column("swir_ratio", "double", "swir2 / swir1 of the cell's sums", nullable=True),
        Column("contrast", "double", "root mean squared gradient of swir1 over its mean, per pixel", nullable=True),
        Column("alignment", "double", "0: edges in red have no direction in common, 1: all are at right angles", nullable=True),
        Column(
            "score",
            "double",
            "0-1, geometric mean of the four between their anchors; null: one is not known, or half of the pixels",
            nullable=True,
        ),
        Column("informal", "boolean", "the score reaches informality.threshold", nullable=True),
    ),
    (
        Check("built_m2 > 0", "a cell without built-up land"),
        Check("score is null or (0 <= score and score <= 1)", "a score beyond 0 to 1"),
        Check("(score is null) = (informal is null)", "informal without a score"),
    ),
)

SERVICES = Table(
    "services",
    "a stop of public transport, an open public space or a street",
    ("kind", "service_id"),
    (
        Column("kind", "string", "stop, open_space or street"),
        Column("service_id", "string", "kind and number of the row in its file"),
        Column("capacity", "string", "of a stop: low or high", nullable=True),
        geometry_column("the shape; of a street its area"),
        *bbox_columns(),
        Column("reach", "binary", "ground within reach of a stop or open space, WKB, EPSG:4326", nullable=True),
    ),
    (
        Check("kind in ('stop', 'open_space', 'street')", "unknown kind"),
        Check("(kind = 'street') = (reach is null)", "stops and open spaces have a reach, streets none"),
    ),
)

UNIT_SHARES = Table(
    "unit_shares",
    "the part of a unit's built-up land and people, in an epoch, for which something holds",
    ("unit_id", "epoch", "what"),
    (
        Column("unit_id", "string", "as in units"),
        Column("epoch", "string", "epoch of the place"),
        Column("what", "string", "informal, near_stop, near_open_space: built-up land; public_space: open spaces and streets"),
        Column("part_m2", "double", "land for which it holds, geodesic, m2"),
        Column("whole_m2", "double", "built-up land of which that is known; of public_space all built-up land, m2"),
        Column("people", "double", "of the unit's, by the share of built-up land; null: not known, or of public_space", nullable=True),
        Column("people_year", "string", "census years they come from", nullable=True),
    ),
    (
        Check("part_m2 >= 0 and whole_m2 >= 0", "an area below 0"),
        Check("what = 'public_space' or part_m2 <= whole_m2 + 0.01", "a part that is more than the whole"),
    ),
)

DEPRIVATION = Table(
    "deprivation",
    "people of a unit, surveyed in a year, whose household lacks something that SDG 11.1.1 asks for",
    ("unit_id", "year"),
    (
        Column("unit_id", "string", "as in units"),
        Column("year", "int", "of the survey"),
        Column("households", "bigint", "that answered"),
        Column("people", "double", "in them, weighted"),
        Column("deprived_people", "double", "in those that lack one thing or more, weighted"),
        Column("share", "double", "deprived_people over people"),
        Column("standard_error", "double", "of the share; null: of one household", nullable=True),
        Column("asked", "string", "of water, sanitation, space, durability, tenure"),
        Column("source", "string", "who asked"),
    ),
    (Check("0 <= share and share <= 1", "a share beyond 0 to 1"),),
)
