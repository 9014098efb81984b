"""Tables of urban extents."""

from conf.table import Check, Column, Table, bbox_columns, geometry_column

URBAN_EXTENT = Table(
    "urban_extent",
    "a city of an epoch: built-up pixels with a quarter or more built within a walk, the open land beside and inside; whole across tiles",
    ("epoch", "extent_id"),
    (
        Column("epoch", "string", "epoch of the place"),
        Column("extent_id", "string", "hash of place on the grid, epoch and content"),
        geometry_column("outline of its pixels"),
        *bbox_columns(),
        Column("area_m2", "double", "geodesic area of the outline, m2"),
        Column("urban_m2", "double", "built, with more than half built within 564 m, m2"),
        Column("suburban_m2", "double", "built, with a quarter to half built within 564 m, m2"),
        Column("fringe_m2", "double", "open land within 100 m of either, m2"),
        Column("captured_m2", "double", "open land that these enclose, up to 200 ha in one piece, m2"),
        Column("method", "string", "definition or trends_earth"),
        Column("open_edge", "boolean", "it touches ground without data, so it may go on", identity=False),
    ),
    (
        Check("area_m2 > 0", "a city without area"),
        Check("urban_m2 + suburban_m2 > 0", "a city without anything built"),
        Check("xmin <= xmax and ymin <= ymax", "a bounding box inside out"),
    ),
)

EXTENT_STATISTICS = Table(
    "extent_statistics",
    "sums of a unit inside cities, in an epoch",
    ("unit_id", "epoch", "boundary"),
    (
        Column("unit_id", "string", "as in units"),
        Column("epoch", "string", "epoch of the place"),
        Column("boundary", "string", "fixed: inside the cities of the first epoch; moving: inside those of the epoch"),
        Column("built_m2", "double", "built-up area, geodesic, m2"),
        Column("extent_m2", "double", "land of the cities that the epoch shows, m2"),
        Column("people", "double", "of the unit's, by the share of its built-up land inside; null: not known", nullable=True),
        Column("people_year", "string", "census years they come from", nullable=True),
    ),
    (
        Check("0 <= built_m2 and built_m2 <= extent_m2 + 0.01", "built <= extent is broken"),
        Check("boundary in ('fixed', 'moving')", "unknown"),
    ),
)

AGGLOMERATIONS = Table(
    "agglomerations",
    "a city of an epoch in three bounds: the unit that is its core, its own ground, the units that lie in it for the most part",
    ("epoch", "extent_id", "level"),
    (
        Column("epoch", "string", "epoch of the place"),
        Column("extent_id", "string", "as in urban_extent"),
        Column("level", "string", "city: its core; agglomeration: its own ground; region: its core and the units mostly in it"),
        Column("name", "string", "of its core; null: no unit holds most of it, and it most of no unit", nullable=True),
        Column("unit_id", "string", "of its core, of level city", nullable=True),
        Column("units", "bigint", "units that are summed; of level agglomeration smallest units with built-up land in it"),
        Column("area_m2", "double", "of units, or of the outline of a city, m2"),
        Column("built_m2", "double", "built-up area, geodesic, m2"),
        Column("people", "double", "of units; of a city theirs by the share of their built-up land in it; null: not known", nullable=True),
        Column("people_year", "string", "census years they come from", nullable=True),
        Column("held_share", "double", "of the built-up land: what lies in units"),
    ),
    (
        Check("level in ('city', 'agglomeration', 'region')", "unknown"),
        Check("0 <= held_share and held_share <= 1", "no share"),
        Check("(level = 'city') = (unit_id is not null)", "a core is one unit"),
    ),
)

DEGREE_OF_URBANISATION = Table(
    "degree_of_urbanisation",
    "what a unit is by where its people live",
    ("unit_id",),
    (
        Column("unit_id", "string", "as in units"),
        Column("code", "int", "30 city, 23 dense town, 22 semi-dense town, 21 suburb, 13, 12, 11 rural; null: nobody", nullable=True),
        Column("settlement", "string", "the code in words", nullable=True),
        Column("people", "double", "in cells that are known"),
        Column("people_30", "double", "of these in urban centres"),
        Column("people_23", "double", "in dense urban clusters"),
        Column("people_22", "double", "in semi-dense urban clusters"),
        Column("people_21", "double", "in suburban cells"),
        Column("people_13", "double", "in rural clusters"),
        Column("people_12", "double", "in cells of low density"),
        Column("people_11", "double", "in cells of very low density"),
        Column("people_10", "double", "in cells of water"),
        Column("release", "string", "whose rules: R2022 or R2023"),
    ),
    (Check("people >= 0", "fewer than no people"), Check("(code is null) = (people <= 0)", "a unit with people has a class")),
)
