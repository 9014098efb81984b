"""Promote: the challenger becomes champion, unless it is worse in a world region or for a sensor beyond chance. Moves one alias.
Run: ./spark-submit.sh promote --set promote.network=buildings_15cm
Parallel over nothing: held-out ground is small; the maps are made window by window as in built_up."""

import json
import logging
from pathlib import Path
from typing import Any

from pydantic import Field

from conf.errors import InputError
from conf.place import Place
from conf.settings import Settings
from jobs.gate import GateError
from jobs.held_out import held_out_windows
from jobs.job import Context, Tables, job
from jobs.recipes import held_out_orders, read_recipe
from jobs.tracking import tracking_uri
from models.comparing import Comparison, compared, maps_of
from models.predictor import load_predictor
from models.registry import CHALLENGER, CHAMPION, ModelPin, make_champion, resolve_model
from models.windows import groups_of

LOG = logging.getLogger(__name__)


class PromoteSettings(Settings):
    """Which model is to become champion."""

    network: str = Field("buildings_15cm", pattern=r"^[a-z0-9_]+$", description="a recipe of conf/training with ground to judge on")
    model: str | None = Field(None, description=f"models:/NAME/VERSION; default: models:/<network>@{CHALLENGER}")
    rollback: bool = Field(False, description="an earlier version becomes champion again, without a judgement")
    seed: int = Field(7, description="of the bootstrap")


def promote_sources(place: Place, settings: PromoteSettings) -> Any:
    """The held-out orders and both models' sha256; raises InputError where there is nothing to promote."""
    champion, challenger = _pins(place, settings)
    if champion.sha256 == challenger.sha256:
        raise InputError(f"model {challenger.name} version {challenger.version} is the champion already; name another with promote.model")
    return [*held_out_orders(read_recipe(settings.network)), champion.sha256, challenger.sha256, settings.rollback]


@job(
    optional=("training_tiles",), writes=(), settings=PromoteSettings, parallel_over="nothing", in_flow=False, sources=promote_sources,
)  # fmt: skip
def promote(tables: Tables, settings: PromoteSettings, context: Context) -> None:
    """Raises GateError where the challenger is worse in a region or for a sensor."""
    champion, challenger = _pins(context.place, settings)
    if not settings.rollback:
        _judge(champion, challenger, tables, settings, context)
    make_champion(tracking_uri(context.place), challenger)
    LOG.info(
        "%s version %s is champion, version %s was; roll back with promote.rollback", challenger.name, challenger.version, champion.version
    )


def _pins(place: Place, settings: PromoteSettings) -> tuple[ModelPin, ModelPin]:
    uris = (f"models:/{settings.network}@{CHAMPION}", settings.model or f"models:/{settings.network}@{CHALLENGER}")
    champion, challenger = (resolve_model(uri, tracking_uri(place)) for uri in uris)
    return champion, challenger


def _judge(champion: ModelPin, challenger: ModelPin, tables: Tables, settings: PromoteSettings, context: Context) -> None:
    folder = context.storage / "evaluation"
    windows = held_out_windows(read_recipe(settings.network), tables, folder / f"{settings.network}.parquet")
    maps = [maps_of(load_predictor(pin.path, pin.sha256), windows) for pin in (champion, challenger)]
    found = compared(*maps, groups_of(windows), settings.seed)
    _write(found, champion, challenger, folder / f"{settings.network}_promotion.json")
    for each in found:
        context.figures[f"difference_{each.title}"] = each.difference.value
    worse = [each for each in found if each.is_worse]
    if worse:
        named = ", ".join(
            f"{each.title} {each.difference.value:+.3f} ({each.difference.lower:+.3f} to {each.difference.upper:+.3f})" for each in worse
        )
        raise GateError(
            f"model {challenger.name} version {challenger.version} is worse than champion {champion.version}: F1 of {named}; it stays"
        )


def _write(found: list[Comparison], champion: ModelPin, challenger: ModelPin, path: Path) -> None:
    rows = [{**each._asdict(), "worse": each.is_worse} for each in found]
    values = {"champion": champion.sha256, "challenger": challenger.sha256, "groups": rows}
    text = json.dumps(values, indent=1)
    path.write_text(text + "\n", encoding="utf-8")
    LOG.info("%s", text)
