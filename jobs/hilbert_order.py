"""Buildings along a Hilbert curve, the order of every export."""

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.errors import InputError
from conf.table import BBOX
from conf.tables import TABLES
from udfs.hilbert import hilbert_numbers

ORDER = ("hilbert", "building_id")
"""Of the buildings of one layer and epoch."""


def with_hilbert(buildings: DataFrame) -> DataFrame:
    """With `hilbert`, in the box of all buildings. Raises InputError where there is none, or the table is of an older version."""
    if lacking := sorted(set(TABLES["buildings"].names) - set(buildings.columns)):
        raise InputError(f"table buildings was made by an older version and lacks {', '.join(lacking)}; run buildings --recompute first")
    west, south, east, north = buildings.agg(F.min("xmin"), F.min("ymin"), F.max("xmax"), F.max("ymax")).first()
    if west is None:
        raise InputError("table buildings has no row, so there is nothing to export; run buildings first")

    def numbers(xmin: pd.Series, ymin: pd.Series, xmax: pd.Series, ymax: pd.Series) -> pd.Series:
        return pd.Series(hilbert_numbers(np.stack([xmin, ymin, xmax, ymax], axis=1), (west, south, east, north)))

    return buildings.withColumn("hilbert", F.pandas_udf(numbers, "bigint")(*BBOX))
