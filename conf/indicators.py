"""Every indicator, declared once: what it is called, its formula in words, what it needs, and a worked number of those of City A."""

from dataclasses import dataclass
from typing import Literal

SHEET = "UN-Habitat, SDG indicator 11.3.1 metadata"


@dataclass(frozen=True)
class Indicator:
    """A row of docs/indicators.md. `formula` uses the names of SYMBOLS; `needs` names the conditions of udfs/null_reasons.py."""

    id: str
    formula_id: str
    name: str
    kind: Literal["period", "state"]
    unit_of_measure: str
    formula: str
    needs: tuple[str, ...]
    source: str
    example: float
    """The value for CITY_A."""
    text: str
    regime: bool = False

    @property
    def key(self) -> tuple[str, str]:
        return self.id, self.formula_id


@dataclass(frozen=True)
class Share:
    """An indicator at an epoch that is a part of a whole: of rows `what` of table unit_shares, of their land or of the unit's people; or of
    people in a survey."""

    id: str
    formula_id: str
    name: str
    what: str
    of: Literal["land", "people", "survey"]
    formula: str
    source: str
    text: str
    unit_of_measure: str = "share"


SYMBOLS = {
    "V1": "built-up area of the unit at the start of the period, m2",
    "V2": "built-up area of the unit at its end (of a state: at its epoch), m2",
    "P1": "people of the unit at the start",
    "P2": "people of the unit at the end (of a state: at its epoch)",
    "T": "length of the period: difference of the epochs' reference dates, years",
}

CITY_A = {"V1": 53e6, "V2": 61.5e6, "P1": 320_000.0, "P2": 330_000.0, "T": 10.0}
"""The worked example: 53 to 61.5 km2, 320,000 to 330,000 people, ten years."""

INDICATORS = (
    Indicator(
        "11.3.1-lcr", "un-2021", "Land consumption rate", "period", "1/a", "(V2 - V1) / V1 / T",
        ("land", "built_start"), f"{SHEET}, 2021 revision", 0.016037735849,
        "Mean yearly growth of built-up area, as a share of that of the start.",
    ),
    Indicator(
        "11.3.1-lcr", "ln-legacy", "Land consumption rate, logarithmic", "period", "1/a", "ln(V2 / V1) / T",
        ("land", "built_start", "built_end"), f"{SHEET}, before 2021", 0.014874526126,
        "Continuous growth rate of built-up area, still used by some national portals.",
    ),
    Indicator(
        "11.3.1-pgr", "pgr", "Population growth rate", "period", "1/a", "ln(P2 / P1) / T",
        ("people", "years_of_people"), SHEET, 0.003077165867,
        "Continuous growth rate of people; one formula serves both ratios.",
    ),
    Indicator(
        "11.3.1", "un-2021", "Land consumption to population growth", "period", "1", "(V2 - V1) / V1 / T / (ln(P2 / P1) / T)",
        ("land", "built_start", "people", "years_of_people", "growth"), f"{SHEET}, 2021 revision", 5.211852901,
        "Above 1 built-up land grows faster than people; read it with its regime, as two shrinking rates also give a positive ratio.", True,
    ),
    Indicator(
        "11.3.1", "ln-legacy", "Land consumption to population growth, logarithmic", "period", "1", "ln(V2 / V1) / ln(P2 / P1)",
        ("land", "built_start", "built_end", "people", "years_of_people", "growth"), f"{SHEET}, before 2021", 4.833839569,
        "As above, with the logarithmic land consumption rate.", True,
    ),
    Indicator(
        "11.3.1-built-per-person", "built-per-person", "Built-up area per person", "state", "m2", "V2 / P2",
        ("land", "people"), f"{SHEET}, secondary indicator", 186.363636364,
        "Built-up land for each resident at an epoch; people are those of the year named in unit_statistics.people_year.",
    ),
    Indicator(
        "11.3.1-change", "change", "Total change in built-up area", "period", "share", "(V2 - V1) / V1",
        ("land", "built_start"), f"{SHEET}, secondary indicator", 0.160377358491,
        "Growth over the whole period, as a share of the built-up area of the start.",
    ),
)  # fmt: skip

SHARES = (
    Share(
        "11.1.1-proxy", "informal-share", "Built-up land that looks informal", "informal", "land",
        "built-up land in cells whose score reaches informality.threshold / built-up land in cells with a score",
        "own; signs after Kohli et al. 2012",
        "A proxy of morphology from images, for finding where to look; it is no count of people in slums. Compare units of one image, not "
        "epochs: haze and season move it.",
    ),
    Share(
        "11.2.1", "near-stop", "Convenient access to public transport", "near_stop", "people",
        "people within services.low_capacity_m (500 m) of a stop, or high_capacity_m (1,000 m) of one of high capacity / people",
        "UN-Habitat, SDG indicator 11.2.1 metadata",
        "People are shared out by built-up land; distances are straight lines. Stops are those declared, of whatever date.",
    ),
    Share(
        "11.7.1", "open-space-share", "Land that is open space for public use", "public_space", "land",
        "(open public spaces + streets) / built-up area", "UN-Habitat, SDG indicator 11.7.1 metadata",
        "Ground that both share counts once. Spaces and streets are those declared, of whatever date.",
    ),
    Share(
        "11.7.1", "people-near-open-space", "People near open public space", "near_open_space", "people",
        "people within services.open_space_m (400 m) of an open public space / people", "UN-Habitat, SDG indicator 11.7.1 metadata",
        "As 11.2.1.",
    ),
)  # fmt: skip
"""Of units in their own bounds."""

SURVEYED = Share(
    "11.1.1", "household-survey", "People in slums, informal settlements or inadequate housing", "deprivation", "survey",
    "people in households that lack one or more of water, sanitation, space, durable walls, secure tenure / people",
    "UN-Habitat, SDG indicator 11.1.1 metadata",
    "From a table of surveyed households, each with its weight; of the survey year nearest to the epoch. Bounds: 1.96 standard errors.",
)  # fmt: skip
