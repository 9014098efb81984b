"""Informality: how informal built-up land looks from above, for cells of about 100 m; the ground of indicator 11.1.1-proxy.
Parallel over tiles. Run: ./spark-submit.sh informality --place mumbai"""

from functools import partial

from pydantic import Field, model_validator
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.place import Place
from conf.sensors import SENSORS
from conf.settings import Settings
from conf.tables import INFORMALITY
from jobs.arrow_batches import ROWS_WITH_RASTERS, rows_per_batch
from jobs.job import Context, Tables, job
from jobs.kept_rows import kept
from jobs.planned_scenes import beside_neighbours, reading_of, scenes_named
from udfs.composites import CompositeName
from udfs.compositing import suited
from udfs.earth import ground_resolution_m
from udfs.informality import BANDS, Anchors
from udfs.informality_cells import ALL_SUMS, CELLS_DDL, SUMS_DDL, CellReading, cell_frames, sums_frames
from udfs.speckle import LOOKS

FINEST_M, COARSEST_M = 8.0, 40.0
"""Of finer pixels a house is many, of coarser ones a cell is few."""
Pair = tuple[float, float]


class InformalitySettings(Settings):
    """What counts as a sign of an informal quarter: of each measure the value that speaks against one, and that for one. Chosen where the
    slums of Mumbai are known, for reflectance."""

    cell_m: float = Field(100.0, ge=20, le=1000, description="side of a cell, in whole pixels")
    ndvi: Pair = Field((0.35, 0.1), description="green between the houses")
    swir_ratio: Pair = Field((0.7, 0.95), description="swir2 over swir1: roofs and bare ground, not green or moist")
    contrast: Pair = Field((0.12, 0.03), description="of neighbouring pixels in swir1: houses smaller than a pixel, no large ones")
    alignment: Pair = Field((0.6, 0.1), description="of edges in red: no grid of streets")
    threshold: float = Field(0.65, gt=0, le=1, description="score from which a cell looks informal")
    composite: CompositeName = Field("median", description="how an epoch's dates become one image, pixel by pixel")

    @model_validator(mode="after")
    def _apart(self) -> "InformalitySettings":
        for name in Anchors._fields:
            low, high = getattr(self, name)
            if low == high:
                raise ValueError(f"{name} = {[low, high]}: give two different values, that against and that for an informal quarter")
        return self

    @property
    def anchors(self) -> Anchors:
        return Anchors(*(getattr(self, name) for name in Anchors._fields))


def cannot_tell(place: Place, settings: InformalitySettings) -> str | None:
    """Why the place does not run the job."""
    if not place.fed_layer:
        return "no layer feeds built_m2"
    layer = place.layers[place.fed_layer]
    side = ground_resolution_m(layer.resolution)
    if not FINEST_M <= side <= COARSEST_M:
        return f"pixels of layer {place.fed_layer} are {side:.3g} m; it is told from 10 to 30 m"
    if SENSORS[layer.sensor].values == "stretched" and not set(Anchors._fields) <= settings.model_fields_set:
        return f"sensor {layer.sensor} has no calibration: set the anchors {', '.join(Anchors._fields)} as the place's own cells have them"
    missing = [band for band in BANDS if SENSORS[layer.sensor].band_called(band) is None]
    return f"sensor {layer.sensor} has no {', '.join(missing)}" if missing else None


def suited_composite(place: Place, settings: InformalitySettings) -> None:
    """Raises InputError where the composite is not one of the layer's sensor."""
    suited(settings.composite, {place.layers[str(place.fed_layer)].sensor}, "informality.composite")


@job(
    reads=("built_up", "tiles", "scenes"), writes="informality", settings=InformalitySettings, parallel_over="tiles", absent=cannot_tell,
    sources=suited_composite,
)  # fmt: skip
def informality(tables: Tables, settings: InformalitySettings, context: Context) -> DataFrame:
    """One row for each cell of each epoch that has built-up land."""
    maps = tables["built_up"].where(F.col("layer") == context.place.fed_layer).where("status = 'done'")
    planned = tables["tiles"].join(
        maps.select("layer", "epoch", "tile_id", "probability", "threshold"), ["layer", "epoch", "tile_id"], "inner"
    )
    scenes = scenes_named(tables["scenes"], planned)
    how = CellReading(settings.composite, LOOKS, settings.cell_m, reading_of(scenes, context))
    with rows_per_batch(context.spark, ROWS_WITH_RASTERS):
        parts = kept(beside_neighbours(planned, context).mapInPandas(partial(sums_frames, how=how), SUMS_DDL))
    named = {name: F.sum(name).alias(name) for name in ALL_SUMS} | {name: F.first(name).alias(name) for name in ("crs", "origin")}
    cells = parts.groupBy("epoch", "grid", "cell_px", "row", "col").agg(*named.values()).where("built_mm2 > 0")
    shell = partial(cell_frames, anchors=settings.anchors, threshold=settings.threshold)
    return cells.mapInPandas(shell, CELLS_DDL).select(*INFORMALITY.names)
