"""Outlines for readers that know no longitude beyond 180 degrees."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def within_world(buildings: DataFrame) -> DataFrame:
    """Those that go on beyond 180 degrees end there and go on at -180, as GeoJSON (RFC 7946) has them."""
    world = "ST_PolygonFromEnvelope(-180.0D, -90.0D, 180.0D, 90.0D)"
    whole = "ST_GeomFromWKB(geometry)"
    sides = f"ST_Intersection({whole}, {world}), ST_Intersection(ST_Translate({whole}, -360.0D, 0.0D), {world})"
    cut = {"geometry": f"ST_AsBinary(ST_Union({sides}))", "xmin": "-180.0D", "xmax": "180.0D"}
    return buildings.withColumns({name: F.expr(f"IF(xmax > 180, {value}, {name})") for name, value in cut.items()})
