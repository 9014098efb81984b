"""Tables of the built-up area of units: what maps add up to, and what a reference sample makes of it."""

from conf.table import Check, Column, Table

UNIT_STATISTICS = Table(
    "unit_statistics",
    "sums of a unit in an epoch",
    ("unit_id", "epoch"),
    (
        Column("unit_id", "string", "as in units"),
        Column("epoch", "string", "epoch of the place"),
        Column("built_m2", "double", "built-up area, geodesic, m2"),
        Column("valid_m2", "double", "area with data, m2"),
        Column("total_m2", "double", "area of the unit from the same pixel sum, m2"),
        Column("buildings", "bigint", "footprints whose representative point lies inside; null: no such layer", nullable=True),
        Column("people", "double", "at the epoch's reference date; null: none declared", nullable=True),
        Column("people_year", "string", "census years it comes from, e.g. 2010-2020 or 2011", nullable=True),
    ),
    (Check("0 <= built_m2 and built_m2 <= valid_m2 and valid_m2 <= total_m2", "built <= valid <= total is broken"),),
)

ADJUSTED_AREAS = Table(
    "adjusted_areas",
    "built-up area of a unit in an epoch, set right by what a reference sample says of the map",
    ("unit_id", "epoch"),
    (
        Column("unit_id", "string", "as in units"),
        Column("epoch", "string", "epoch of the place, of the sample"),
        Column("built_m2", "double", "as mapped, of unit_statistics, m2"),
        Column("adjusted_m2", "double", "with what the map misses and without what it has too much, of the ground with data, m2"),
        Column("lower_m2", "double", "95 % bound, from the number of points"),
        Column("upper_m2", "double", "95 % bound"),
        Column("users", "double", "share of the ground mapped as built-up that is, in the whole sample"),
        Column("omitted", "double", "share of the other ground that is built-up"),
        Column("points", "int", "with an answer and map data"),
        Column("sample", "string", "name of the sample's folder"),
    ),
    (Check("0 <= lower_m2 and lower_m2 <= adjusted_m2 and adjusted_m2 <= upper_m2", "an area outside its bounds"),),
)
