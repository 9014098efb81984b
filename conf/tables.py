"""Every table, declared once: schema, key, checks. Geometry columns are WKB in EPSG:4326 with four bbox columns."""

from conf.table import Check, Column, Table, bbox_columns, geometry_column
from conf.tables_areas import ADJUSTED_AREAS, UNIT_STATISTICS
from conf.tables_buildings import BRIDGE, BUILDINGS, CONFLATION
from conf.tables_change import CHANGE_EVENTS, CHANGE_STATISTICS, urban_series_table
from conf.tables_extent import AGGLOMERATIONS, DEGREE_OF_URBANISATION, EXTENT_STATISTICS, URBAN_EXTENT
from conf.tables_shares import DEPRIVATION, INFORMALITY, SERVICES, UNIT_SHARES
from conf.tables_training import FOOTPRINTS, TRAINING_TILES

_DIGEST = Column("input_digest", "string", "sha256 over everything that determines the row", identity=False)
_RUN = Column("run_id", "string", "the run that wrote the row", identity=False)

_GRID = (
    Column("grid", "string", "name of the grid: utm43n, or native-<hash>", identity=False),
    Column("crs", "string", "the grid's CRS, EPSG code or WKT2", identity=False),
    Column("tile_px", "int", "side of the tile, pixels", identity=False),
    Column("row", "int", "tile row on the grid, from the north", identity=False),
    Column("col", "int", "tile column on the grid, from the west", identity=False),
    Column("transform", "array<double>", "affine a, b, c, d, e, f of the tile's upper left corner", identity=False),
)

_STRIP = Column("strip", "string", "zone whose strip of longitude cuts the tile: pixels outside of it are another zone's", nullable=True)

SCENES = Table(
    "scenes",
    "an image",
    ("scene_id",),
    (
        Column("scene_id", "string", "name of the image, unique in the place"),
        Column("sensor", "string", "key of conf/sensors.py"),
        Column("datetime", "timestamp", "acquisition, UTC"),
        Column("hrefs", "map<string,string>", "band name to path or address", identity=False),
        Column("band_indexes", "map<string,int>", "band name to 1-based band in its file"),
        Column("crs", "string", "of the image, EPSG code or WKT2"),
        Column("transform", "array<double>", "affine a, b, c, d, e, f of the finest band"),
        Column("width", "int", "pixels of the finest band"),
        Column("height", "int", "pixels of the finest band"),
        Column("nodata", "double", "value of pixels without data; null: none declared", nullable=True),
        Column("stretch", "map<string,array<double>>", "band to 2nd and 98th percentile, of sensors without calibration", nullable=True),
        Column("calibration", "map<string,array<double>>", "band to scale and offset, where not the sensor's", nullable=True),
        Column("cloud", "double", "share of cloud in the metadata, 0-1", nullable=True),
        Column("baseline", "string", "processing baseline", nullable=True),
        geometry_column("footprint"),
        *bbox_columns(),
        Column("licence", "string", "of the image", nullable=True),
        Column("attribution", "string", "to print beside results", nullable=True),
        Column("versions", "map<string,string>", "path or address to the state of the file that was planned with", identity=False),
        Column(
            "content_digest",
            "string",
            "sha256 over the files and how they are read: sensor, date, nodata, baseline, bands",
            identity=False,
        ),
    ),
    (Check("width > 0 and height > 0", "an image without pixels"), Check("xmin <= xmax and ymin <= ymax", "a bounding box inside out")),
)

TILES = Table(
    "tiles",
    "a square of work x epoch x layer",
    ("layer", "epoch", "tile_id"),
    (
        Column("layer", "string", "layer of the place"),
        Column("epoch", "string", "epoch of the place"),
        Column("tile_id", "string", "grid, resolution, tile_px, row and column"),
        *_GRID,
        Column(
            "scenes",
            "array<struct<scene_id:string,covers:double,why:string,blocks:bigint>>",
            "images chosen for its windows, sorted; covers: share of the tile; why; blocks: bits of the 256-pixel blocks, two around the "
            "tile included, for which it is chosen, null: all that it covers",
        ),
        _STRIP,
        Column("predicted_seconds", "double", "of one core", identity=False),
        Column("predicted_bytes", "bigint", "to read", identity=False),
        Column("scenes_digest", "string", "sha256 over the content digests of its scenes and their blocks", identity=False),
        geometry_column("outline"),
        *bbox_columns(),
    ),
    (Check("predicted_seconds >= 0", "negative work"),),
)

BUILT_UP = Table(
    "built_up",
    "a tile's result; every planned tile has one",
    ("layer", "epoch", "tile_id"),
    (
        Column("layer", "string", "layer of the place"),
        Column("epoch", "string", "epoch of the place"),
        Column("tile_id", "string", "as in tiles"),
        *_GRID,
        _STRIP,
        Column("status", "string", "done, nodata or quarantined"),
        Column(
            "probability",
            "binary",
            "uint8 (tile_px, tile_px): 0-250 stands for 0-1, 255 no data or outside; deflate",
            nullable=True,
            raster=True,
        ),
        Column(
            "depth",
            "binary",
            "uint8 (tile_px, tile_px): pixels from inside a building to its outside, 250 for 10 or more; deflate; of networks that tell it",
            nullable=True,
            raster=True,
        ),
        Column("threshold", "int", "probability, 0-250, from which a pixel counts as built-up"),
        Column("valid_share", "double", "share of pixels with data, 0-1"),
        Column("error_class", "string", "kind of the failure of a quarantined tile", nullable=True),
        Column("message", "string", "what failed and what to do", nullable=True, identity=False),
        Column("attempts", "int", "tries so far", identity=False),
        Column("seconds", "double", "spent on the tile", identity=False),
        Column("first_date", "timestamp", "earliest image used", nullable=True),
        Column("last_date", "timestamp", "latest image used", nullable=True),
        Column("scenes_used", "array<string>", "sorted"),
        Column("scenes_failed", "array<string>", "sorted; could not be read"),
        Column("model_name", "string", "registered name"),
        Column("model_version", "string", "registered version, or path", identity=False),
        Column("model_sha256", "string", "of the weights"),
        Column(
            "model_labels",
            "string",
            "what the model learned from: simulated, weak (simulated cities and spectral rules), footprints, measured or unknown",
            identity=False,
            nullable=True,
        ),
        Column("settings_digest", "string", "sha256 over settings, model and code version", identity=False),
        _DIGEST,
        _RUN,
        geometry_column("outline"),
        *bbox_columns(),
    ),
    (
        Check("status in ('done', 'nodata', 'quarantined')", "unknown status"),
        Check("valid_share between 0 and 1", "valid_share outside 0-1"),
        Check("(status = 'done') = (probability is not null)", "a done tile has pixels, another has none"),
        Check("(status = 'quarantined') = (error_class is not null)", "a quarantined tile names its error class"),
    ),
)

URBAN_SERIES = urban_series_table(_GRID, _STRIP, (_DIGEST, _RUN))

UNITS = Table(
    "units",
    "an administrative unit",
    ("unit_id",),
    (
        Column("unit_id", "string", "as in the source"),
        Column("parent_id", "string", "unit it is part of; null at level 0", nullable=True),
        Column("level", "int", "0 is the coarsest"),
        Column("name", "string", "as in the source", nullable=True),
        geometry_column("outline"),
        *bbox_columns(),
        Column("area_m2", "double", "geodesic area, m2"),
        Column("note", "string", "what was repaired on load", nullable=True),
    ),
    (
        Check("area_m2 > 0", "a unit without area"),
        Check("(level = 0) = (parent_id is null)", "level 0 has no parent, other levels have one"),
    ),
)

POPULATION = Table(
    "population",
    "people of a unit in a year",
    ("unit_id", "year"),
    (
        Column("unit_id", "string", "as in units"),
        Column("year", "int", "of the count"),
        Column("people", "double", "residents"),
        Column("source", "string", "census or raster", nullable=True),
        Column("note", "string", "why it may be of another definition, or wrong", nullable=True),
    ),
    (Check("people >= 0", "negative people"),),
)

INDICATORS = Table(
    "indicators",
    "a unit x period x indicator x formula x boundary x basis x disaggregation",
    ("unit_id", "period_start", "period_end", "indicator", "formula_id", "boundary", "basis", "disaggregation"),
    (
        Column("unit_id", "string", "as in units"),
        Column("period_start", "string", "epoch at the start"),
        Column("period_end", "string", "epoch at the end; the same for a state"),
        Column("indicator", "string", "e.g. 11.3.1"),
        Column("formula_id", "string", "un-2021, ln-legacy or the indicator's own"),
        Column("boundary", "string", "unit, fixed or moving"),
        Column("basis", "string", "built_up or urban_extent"),
        Column("disaggregation", "string", "all, or a group"),
        Column("value", "double", "null with a reason", nullable=True),
        Column("lower", "double", "95 % bound", nullable=True),
        Column("upper", "double", "95 % bound", nullable=True),
        Column("unit_of_measure", "string", "1, 1/a, m2 or share"),
        Column("regime", "string", "R1-R17, beside ratios", nullable=True),
        Column("reason", "string", "why the value is null", nullable=True),
    ),
    (Check("(value is null) = (reason is not null)", "a null value has a reason, another has none"),),
)

TRUTH_BUILDINGS = Table(
    "truth_buildings",
    "a building of the simulated city",
    ("building_id",),
    (
        Column("building_id", "string", "of the simulation"),
        geometry_column("footprint"),
        *bbox_columns(),
        Column("year_built", "int", "first year it stands"),
        Column("year_gone", "int", "first year it no longer stands", nullable=True),
        Column("kind", "string", "house, block, hall, informal"),
    ),
)

TRUTH_UNIT_STATISTICS = Table(
    "truth_unit_statistics",
    "the simulated city's own sums of a unit in an epoch",
    ("unit_id", "epoch"),
    (
        Column("unit_id", "string", "as in units"),
        Column("epoch", "string", "epoch of the place"),
        Column("built_m2", "double", "area of pixels of which footprints and sealed surfaces cover half, m2"),
        Column("footprint_m2", "double", "plain area of footprints, m2"),
        Column("total_m2", "double", "area of the unit, m2"),
        Column("people", "double", "residents"),
    ),
)

RUNS = Table(
    "runs",
    "one run of one job; also the lock of a place",
    ("run_id",),
    (
        Column("run_id", "string", "of this run"),
        Column("job", "string", "name of the job"),
        Column("state", "string", "running, done, failed or stopped"),
        Column("owner", "string", "host, process and its start, to tell a dead holder"),
        Column("started", "timestamp", "UTC"),
        Column("heartbeat", "timestamp", "UTC; a stale one frees the place"),
        Column("seconds", "double", "so far", nullable=True),
        Column("rows", "bigint", "written", nullable=True),
        Column("settings", "string", "JSON"),
        Column("settings_digest", "string", "sha256"),
        Column("code_version", "string", "version and digest of the code"),
        Column("model_sha256", "string", "of the weights used, comma-separated", nullable=True),
        Column("back_end", "string", "master and network back end"),
        Column("device_class", "string", "cpu or cuda"),
        Column("input_versions", "string", "JSON: table to Delta version"),
        Column("message", "string", "of a failure", nullable=True),
    ),
)

TABLES = {
    table.name: table
    for table in (
        SCENES,
        TILES,
        BUILT_UP,
        BUILDINGS,
        BRIDGE,
        CONFLATION,
        URBAN_SERIES,
        CHANGE_EVENTS,
        UNITS,
        POPULATION,
        UNIT_STATISTICS,
        ADJUSTED_AREAS,
        CHANGE_STATISTICS,
        URBAN_EXTENT,
        EXTENT_STATISTICS,
        AGGLOMERATIONS,
        DEGREE_OF_URBANISATION,
        DEPRIVATION,
        INFORMALITY,
        SERVICES,
        UNIT_SHARES,
        INDICATORS,
        FOOTPRINTS,
        TRAINING_TILES,
        TRUTH_BUILDINGS,
        TRUTH_UNIT_STATISTICS,
        RUNS,
    )
}
