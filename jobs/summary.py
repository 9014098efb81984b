"""What one run did: the closing lines of a job."""

from dataclasses import dataclass, field

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.place import Place

STATUSES = ("done", "nodata", "quarantined")


@dataclass
class Summary:
    """Rows written, and for tables kept by tile what became of the tiles. `area_m2` is the geodesic area with data."""

    job: str
    lies_at: str
    place: Place
    cores: int
    rows: int = 0
    seconds: float = 0.0
    area_m2: float = 0.0
    tiles: dict[str, int] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add_tiles(self, rows: DataFrame) -> None:
        """Count the rows of a batch by status."""
        area = F.expr("ST_AreaSpheroid(ST_GeomFromWKB(geometry))") * F.col("valid_share")
        for row in rows.groupBy("status").agg(F.count(F.lit(1)).alias("tiles"), F.sum(area).alias("area_m2")).collect():
            self.tiles[row["status"]] = self.tiles.get(row["status"], 0) + row["tiles"]
            self.area_m2 += row["area_m2"]
            self.rows += row["tiles"]

    @property
    def km2_per_cpu_hour(self) -> float:
        return self.area_m2 / 1e6 / (self.seconds * self.cores / 3600) if self.seconds else 0.0

    @property
    def cost(self) -> float:
        """US dollars at the place's price of a CPU hour."""
        return self.seconds * self.cores / 3600 * self.place.price_per_cpu_hour

    def lines(self) -> list[str]:
        """For people, one fact a line."""
        head = f"{self.job}: {self.rows} rows in {self.seconds:.1f} s -> {self.lies_at}"
        figures = [f"  {name} = {value:g}" for name, value in sorted(self.figures.items())]
        return [head, *(self._tile_lines() if self.tiles else []), *figures, *(f"  note: {note}" for note in self.notes)]

    def _tile_lines(self) -> list[str]:
        counts = ", ".join(f"{self.tiles.get(status, 0)} {status}" for status in STATUSES)
        km2 = self.area_m2 / 1e6
        speed = f"{km2:.2f} km2, {km2 / self.seconds:.3f} km2/s, {self.km2_per_cpu_hour:.1f} km2 per CPU hour"
        price = f"{self.cost:.4f} US$ at {self.place.price_per_cpu_hour:g} US$ per CPU hour"
        return [f"  tiles: {counts}", f"  {speed}", f"  {price}"]
