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

_STATE = "unit_id, period_end AS epoch"
_HOUSING = (
    _value("11.1.1", "household-survey", "share"),
    _value("11.1.1", "household-survey", "lower", "lower"),
    _value("11.1.1", "household-survey", "upper", "upper"),
    _value("11.1.1", "household-survey", "reason", "reason"),
    _value("11.1.1-proxy", "informal-share", "looks_informal"),
    _value("11.1.1-proxy", "informal-share", "looks_informal_reason", "reason"),
)
_TRANSPORT = (_value("11.2.1", "near-stop", "people_near_stop"), _value("11.2.1", "near-stop", "reason", "reason"))
_OPEN_SPACE = (
    _value("11.7.1", "open-space-share", "open_space_share"),
    _value("11.7.1", "open-space-share", "open_space_reason", "reason"),
    _value("11.7.1", "people-near-open-space", "people_near_open_space"),
    _value("11.7.1", "people-near-open-space", "people_reason", "reason"),
)


def _of_states(columns: tuple[str, ...], indicators: str) -> str:
    """One row per unit and epoch of indicators whose id begins so."""
    return f"SELECT {_STATE}, {', '.join(columns)} FROM indicators WHERE indicator LIKE '{indicators}%' GROUP BY unit_id, period_end"  # noqa: S608


# Growth inside the cities of the place's first epoch, and beyond them, of units whose epochs can be compared.
_DENSIFICATION_SELECT = (
    "SELECT p.unit_id, p.period_start, p.period_end, e.built_m2 - s.built_m2 AS grown_m2, fe.built_m2 - fs.built_m2 AS densification_m2, "
    "e.built_m2 - s.built_m2 - (fe.built_m2 - fs.built_m2) AS expansion_m2 "
    "FROM (SELECT unit_id, period_start, period_end FROM indicators "
    "WHERE indicator = '11.3.1-change' AND boundary = 'unit' AND reason IS NULL) p "
    "JOIN unit_statistics s ON s.unit_id = p.unit_id AND s.epoch = p.period_start "
    "JOIN unit_statistics e ON e.unit_id = p.unit_id AND e.epoch = p.period_end "
    "JOIN extent_statistics fs ON fs.unit_id = p.unit_id AND fs.epoch = p.period_start AND fs.boundary = 'fixed' "
    "JOIN extent_statistics fe ON fe.unit_id = p.unit_id AND fe.epoch = p.period_end AND fe.boundary = 'fixed'"
)

VIEWS = {
    "densification": View(("indicators", "unit_statistics", "extent_statistics"), _DENSIFICATION_SELECT),
    "inadequate_housing": View(("indicators",), _of_states(_HOUSING, "11.1.1")),
    "public_transport": View(("indicators",), _of_states(_TRANSPORT, "11.2.1")),
    "open_public_space": View(("indicators",), _of_states(_OPEN_SPACE, "11.7.1")),
    "lcrpgr": View(("indicators",), _LCRPGR_SELECT),
    "built_per_person": View(("indicators",), _BUILT_PER_PERSON_SELECT),
    "conflation_agreement": View(("conflation",), _CONFLATION_AGREEMENT_SELECT),
}
"""`lcrpgr` has one row per unit and period, every column null where its rows are; `built_per_person`, `inadequate_housing` (11.1.1 and its
proxy), `public_transport` (11.2.1) and `open_public_space` (11.7.1) one per unit and epoch; `densification` tells how much of a unit's
growth lies inside the cities of the place's first epoch, and how much beyond; `conflation_agreement` counts buildings by unit, source and
what others show there."""
