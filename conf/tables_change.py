"""Tables of change: the series of every tile, the places that appeared or vanished, and their sums by unit."""

from conf.table import Check, Column, Table, bbox_columns, geometry_column

_STATES = "uint8 (tile_px, tile_px): 0-250 stands for the probability 0-1 that it is built-up, 255 not known; deflate"
_DATES = "uint8 (tile_px, tile_px): number, from 1, of the {} of `epochs` at which it is built-up, 0 none, 255 never seen; deflate"


def urban_series_table(grid: tuple[Column, ...], strip: Column, last: tuple[Column, ...]) -> Table:
    """`grid`, `strip` and `last` are columns that other tables have, too."""
    return Table(
        "urban_series",
        "a tile's series of states, which agrees with itself; every tile with a map has one",
        ("layer", "tile_id"),
        (
            Column("layer", "string", "layer of the place"),
            Column("tile_id", "string", "as in tiles"),
            *grid,
            strip,
            Column("status", "string", "done, nodata or quarantined"),
            Column("epochs", "array<string>", "that have a map of the tile, by date"),
            Column("dates", "array<date>", "their reference dates"),
            Column("series", "array<binary>", f"of each epoch {_STATES}; null: nothing is known", nullable=True, raster=True),
            Column("first_built", "binary", _DATES.format("first"), nullable=True, raster=True),
            Column("last_built", "binary", _DATES.format("last"), nullable=True, raster=True),
            Column("threshold", "int", "value from which a pixel of `series` is built-up"),
            Column("valid_share", "double", "share of pixels that some epoch shows, 0-1"),
            Column("epochs_failed", "array<string>", "that could not be mapped here"),
            Column("error_class", "string", "kind of the failure of a quarantined tile", nullable=True),
            Column("message", "string", "what failed and what to do", nullable=True, identity=False),
            Column("attempts", "int", "tries so far", identity=False),
            Column("seconds", "double", "spent on the tile", identity=False),
            Column("scenes_used", "array<string>", "by its maps, sorted"),
            Column("model_sha256", "array<string>", "of the weights of its maps, sorted"),
            Column("settings_digest", "string", "sha256 over settings and code version", identity=False),
            *last,
            geometry_column("outline"),
            *bbox_columns(),
        ),
        (
            Check("status in ('done', 'nodata', 'quarantined')", "unknown status"),
            Check("valid_share between 0 and 1", "valid_share outside 0-1"),
            Check("size(epochs) = size(dates)", "an epoch has one date"),
            Check("(status = 'done') = (series is not null and size(series) = size(epochs))", "a done tile has states of every epoch"),
            Check("(status = 'done') = (first_built is not null and last_built is not null)", "a done tile has both dates"),
            Check("(status = 'quarantined') = (error_class is not null)", "a quarantined tile names its error class"),
        ),
    )


CHANGE_EVENTS = Table(
    "change_events",
    "ground that became built-up, or no longer is, between two epochs; whole across tiles",
    ("layer", "event_id"),
    (
        Column("layer", "string", "layer of the place"),
        Column("event_id", "string", "hash of place on the grid, kind, epochs and content"),
        Column("kind", "string", "appeared, vanished or rebuilt"),
        Column("from_epoch", "string", "last epoch that shows the state before"),
        Column("to_epoch", "string", "first epoch that shows the state after"),
        Column("from_date", "date", "reference date of from_epoch"),
        Column("to_date", "date", "reference date of to_epoch"),
        geometry_column("outline of its pixels"),
        *bbox_columns(),
        Column("area_m2", "double", "geodesic area, m2"),
        Column("confidence", "double", "mean over its pixels of the less sure of both states, 0.5-1"),
        Column("open_edge", "boolean", "in a tile, it touches ground that either date does not show, so it may go on", identity=False),
        Column("scenes_used", "array<string>", "by the maps of the tiles that it lies in, sorted", identity=False),
        Column("model_sha256", "array<string>", "of the weights of these maps, sorted", identity=False),
    ),
    (
        Check("area_m2 > 0", "an event without area"),
        Check("kind in ('appeared', 'vanished', 'rebuilt')", "unknown kind"),
        Check("from_date < to_date", "an event that ends before it begins"),
        Check("confidence between 0.49 and 1", "confidence outside 0.5-1"),
    ),
)

CHANGE_STATISTICS = Table(
    "change_statistics",
    "what became and what ceased to be built-up in a unit from one epoch to another",
    ("unit_id", "from_epoch", "to_epoch"),
    (
        Column("unit_id", "string", "as in units"),
        Column("from_epoch", "string", "epoch of the place"),
        Column("to_epoch", "string", "the next, or the last after the first"),
        Column("new_m2", "double", "built-up at the end only, geodesic, m2"),
        Column("lost_m2", "double", "built-up at the start only, m2"),
        Column("valid_m2", "double", "area known at both, m2"),
        Column("total_m2", "double", "area of the unit from the same pixel sum, m2"),
        Column("years", "double", "between the reference dates"),
        Column("new_m2_per_year", "double", "new_m2 by year"),
        Column("lost_m2_per_year", "double", "lost_m2 by year"),
    ),
    (
        Check("0 <= new_m2 and 0 <= lost_m2 and new_m2 + lost_m2 <= valid_m2 + 1e-6", "more changed than is known"),
        Check("valid_m2 <= total_m2", "valid <= total is broken"),
    ),
)
