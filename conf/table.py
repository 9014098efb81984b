"""What a table is: columns, key and checks, declared as data."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """`type` is Spark DDL. `identity=False`: depends on how the work was cut or run, so not in fingerprints."""

    name: str
    type: str
    text: str
    identity: bool = True
    nullable: bool = False
    raster: bool = False


@dataclass(frozen=True)
class Check:
    """A row breaks the check where the SQL `holds` is false or null; `text` is what the report says then."""

    holds: str
    text: str


@dataclass(frozen=True)
class Table:
    """One row is `text`. `key` columns are unique together."""

    name: str
    text: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    checks: tuple[Check, ...] = ()

    @property
    def ddl(self) -> str:
        """The schema as Spark DDL."""
        return ", ".join(f"{c.name} {c.type}{'' if c.nullable else ' NOT NULL'}" for c in self.columns)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def identity(self) -> tuple[Column, ...]:
        """The columns that a fingerprint covers."""
        return tuple(column for column in self.columns if column.identity)


BBOX = ("xmin", "ymin", "xmax", "ymax")


def bbox_columns(nullable: bool = False) -> tuple[Column, ...]:
    """xmin, ymin, xmax, ymax of a geometry column, so that readers without a spatial engine can choose rows."""
    return tuple(Column(name, "double", f"{name} of the geometry, degrees", nullable=nullable) for name in BBOX)


def geometry_column(text: str) -> Column:
    """A geometry as WKB, EPSG:4326."""
    return Column("geometry", "binary", f"{text}, WKB, EPSG:4326")
