"""How a country sheet's numbers were made, from what stands in the tables themselves: formulas, models, settings, versions."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from conf.indicators import INDICATORS, SYMBOLS
from udfs.sheet_unit import SheetUnit

LEARNED_FROM = {
    "simulated": "simulated cities", "weak": "simulated cities and spectral rules", "footprints": "published footprints of buildings",
    "measured": "measured ground",
}  # fmt: skip
SUMMED = {"built_up": "the map of each epoch by itself (table built_up)", "urban_series": "maps made one series (table urban_series)"}


def method(
    told: SheetUnit, models: pd.DataFrame, pixel: str, source: str, runs: pd.DataFrame, adjusted: pd.DataFrame, counted_by: Iterable[str]
) -> list[str]:
    """Paragraphs on one unit. `runs`: the last of each job that wrote a table (job, started, code_version, input_versions, settings);
    `adjusted`: rows of `adjusted_areas`; `counted_by`: sources of `population`; the rest as for `built_up_text`."""
    keys = zip(told.rows["indicator"], told.rows["formula_id"], strict=True)
    texts = [formula_text(keys), built_up_text(models, pixel, source), people_text(counted_by)]
    settings = [json.loads(text) for text in runs.loc[runs["job"] == "indicators", "settings"]] if len(runs) else []
    texts += [text for one in settings for text in (bounds_text(one), null_text(one))]
    for epoch, row in adjusted.iterrows():
        texts.append(f"A reference sample ({row['sample']}, {row['points']} points) sets built-up land of {epoch} right.")
    if told.unit["note"]:
        texts.append(f"Outline of the unit: {told.unit['note']}.")
    return [*texts, versions_text(runs)] if len(runs) else texts


def owner_text(owners: pd.DataFrame, place: str) -> list[str]:
    """Whom to name: the place's attribution, licence and attribution of the images used."""
    named = [", ".join(part for part in (row["attribution"], row["licence"]) if part) for row in owners.to_dict("records")]
    told = dict.fromkeys(text for text in (place, *named) if text)
    return [f"To be named with any use: {'; '.join(told)}."] if told else []


def formula_text(keys: Iterable[tuple[str, str]]) -> str:
    """The declared formulas of the indicators and formula ids given."""
    wanted = set(keys)
    told = [f"{one.name} ({one.id}, {one.formula_id}) = {one.formula}" for one in INDICATORS if one.key in wanted]
    sources = dict.fromkeys(one.source for one in INDICATORS if one.key in wanted)
    return f"{'; '.join(told)}. {'; '.join(f'{name}: {text}' for name, text in SYMBOLS.items())}. Source: {'; '.join(sources)}."


def built_up_text(models: pd.DataFrame, pixel: str, source: str) -> str:
    """What counts as built-up. `models`: model_name, model_version, model_sha256, model_labels, threshold (0-250), a row each;
    `pixel`: its size; `source`: the table that is summed."""
    told = [
        f"A pixel of {pixel} counts as built-up where model {row['model_name']}, version {row['model_version']} "
        f"(weights {row['model_sha256'][:12]}), gives it a probability of {row['threshold'] / 250:.3f} or more; the model learned from "
        f"{LEARNED_FROM.get(row['model_labels'], 'labels of unknown origin')}."
        for row in models.to_dict("records")
    ]
    summed = f"Areas are geodesic sums over {SUMMED[source]}, pixels at the border by their part inside."
    return " ".join([*told, summed, "Where a part has no data, the share of the rest stands for the whole unit."])


def bounds_text(settings: Mapping[str, Any]) -> str:
    """What lower and upper hold; `settings` of job `indicators`, as its run recorded them."""
    told = [*_land_errors(settings.get("growth_errors"), settings.get("built_sd"))]
    if settings.get("people_sd"):
        told.append(f"errors of people of {settings['people_sd'] * 100:g} %")
    if not told:
        return "No errors of areas or people are declared (indicators.growth_errors, built_sd, people_sd), so there are no bounds."
    return f"95 % bounds hold {' and '.join(told)}."


def _land_errors(growth: Any, built_sd: float | None) -> Iterable[str]:
    stays = "what is wrong alike at all dates is not in them"
    if growth == "repeats":
        yield f"errors of built-up land that differ from map to map, as the smallest units scatter about steady growth ({stays})"
    elif growth:
        yield f"errors of built-up land in patches of {growth['patch_m2']:,g} m² and {growth['common_sd'] * 100:g} % of all alike ({stays})"
    if built_sd:
        yield f"errors of built-up area of {built_sd * 100:g} %"


def null_text(settings: Mapping[str, Any]) -> str:
    """When there is no value; `settings` as of `bounds_text`."""
    return (
        f"There is no value where less than {settings['min_valid_share'] * 100:g} % of the unit has data, where that share differs by more "
        f"than {settings['max_valid_gap'] * 100:g} points between two epochs, or where people were counted more than "
        f"{settings['max_people_gap_years']:g} years away and no other count is known."
    )


def versions_text(runs: pd.DataFrame) -> str:
    """Who made the tables, and from which versions of others: job, started, code_version, input_versions (JSON), a row each."""
    told = []
    for row in runs.to_dict("records"):
        versions = ", ".join(f"{table} {version}" for table, version in json.loads(row["input_versions"]).items())
        told.append(f"{row['job']} {row['started']:%Y-%m-%d} (code {row['code_version']}{', from ' + versions if versions else ''})")
    return f"Tables were made by: {'; '.join(told)}. Numbers after their names are versions of Delta tables."


def people_text(sources: Iterable[str]) -> str:
    """Where people come from: sources of table `population`."""
    named = ", ".join(sorted(sources))
    return f"People: {named}; between two counts interpolated geometrically to the epoch's date." if named else "No people are declared."
