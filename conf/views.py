"""SQL views over a place's tables: name to query. They hold no data; the session registers them beside the tables."""

from typing import NamedTuple


class View(NamedTuple):
    """The tables that a query reads, and the query in Spark SQL."""

    reads: tuple[str, ...]
    select: str


_PERIOD = "unit_id, period_start, period_end, boundary, basis, disaggregation"


def _value(indicator: str, formula_id: str, column: str, field: str = "value") -> str:
    return f"max({field}) FILTER (WHERE indicator = '{indicator}' AND formula_id = '{formula_id}') AS {column}"


_LCRPGR = (
    _value("11.3.1-lcr", "un-2021", "lcr_un_2021"),
    _value("11.3.1-lcr", "ln-legacy", "lcr_ln_legacy"),
    _value("11.3.1-pgr", "pgr", "pgr"),
    _value("11.3.1", "un-2021", "lcrpgr_un_2021"),
    _value("11.3.1", "ln-legacy", "lcrpgr_ln_legacy"),
    _value("11.3.1-change", "change", "built_change"),
    _value("11.3.1", "un-2021", "regime", "regime"),
    _value("11.3.1", "ln-legacy", "regime_ln_legacy", "regime"),
    _value("11.3.1-lcr", "un-2021", "lcr_reason", "reason"),
    _value("11.3.1", "un-2021", "lcrpgr_reason", "reason"),
)

# Every part is a constant above: nothing of a place gets into the text.
_LCRPGR_SELECT = f"SELECT {_PERIOD}, {', '.join(_LCRPGR)} FROM indicators WHERE period_start <> period_end GROUP BY {_PERIOD}"  # noqa: S608

_BUILT_PER_PERSON_SELECT = (
    "SELECT unit_id, period_end AS epoch, boundary, basis, disaggregation, value AS built_per_person_m2, reason "
    "FROM indicators WHERE indicator = '11.3.1-built-per-person'"
)

_CONFLATION_AGREEMENT_SELECT = (
    "SELECT unit_id, source, agreement, mapped, count(*) AS buildings, sum(area_m2) AS area_m2 "
    "FROM conflation GROUP BY unit_id, source, agreement, mapped"
)

VIEWS = {
    "lcrpgr": View(("indicators",), _LCRPGR_SELECT),
    "built_per_person": View(("indicators",), _BUILT_PER_PERSON_SELECT),
    "conflation_agreement": View(("conflation",), _CONFLATION_AGREEMENT_SELECT),
}
"""`lcrpgr` has one row per unit and period, every column null where its rows are; `built_per_person` one per unit and epoch;
`conflation_agreement` counts buildings by unit, source and what others show there."""
