"""What an adapted network must show before it is used, and what its card says."""

from typing import NamedTuple

import numpy as np

from conf.windows import FULL_LABEL
from jobs.gate import GateError
from jobs.recipes import figure_rows, halo_text, spec_and_command
from models.bundle import ModelSpec
from models.comparing import EVERYWHERE, Comparison, Maps, compared
from models.judging import Groups, Judged, with_bounds

MOST_CHANCE = 0.01
"""Labels that would agree so well with their images by chance more often than this are taken for foreign."""
EVERYTHING = "everything built"


def refuse_foreign_labels(chance: float) -> None:
    """`chance`: of models.agreement. Raises GateError."""
    if chance > MOST_CHANCE:
        raise GateError(
            f"the footprints do not belong to the images: labels moved elsewhere agree with them as well or better in {chance:.1%} of "
            f"draws, {MOST_CHANCE:.0%} is the most; look at training_tiles.fit and shift_*, and at the dates. Nothing was learned"
        )


def comparisons(before: Maps, after: Maps, groups: Groups, seed: int) -> list[Comparison]:
    """After less before, by group of windows and everywhere; the last: after less calling everything built."""
    nothing_left_out = [Judged(np.full_like(item.probability, FULL_LABEL), item.truth, item.valid) for item in after.judged]
    trivial = compared(Maps(nothing_left_out, 0.5), after, {}, seed)[0]
    return [*compared(before, after, groups, seed), trivial._replace(kind=EVERYTHING)]


def refuse_no_better(found: list[Comparison]) -> None:
    """Raises GateError unless the network is better than before and than calling everything built, both beyond what chance explains,
    and worse than before in no group of windows."""
    needed = (EVERYWHERE, EVERYTHING)
    failed = [each for each in found if each.is_worse or (each.kind in needed and each.difference.lower <= 0)]
    if failed:
        named = "; ".join(_said(each) for each in failed)
        step = "nothing was registered; more tiles to judge on would narrow the bounds"
        raise GateError(f"what was learned from the footprints is no better on held-out ground: {named}; {step}")


def _said(each: Comparison) -> str:
    than = "calling everything built" if each.kind == EVERYTHING else f"the model before, {each.title}"
    bounds = f"{each.difference.lower:+.3f} to {each.difference.upper:+.3f}"
    return f"F1 {each.challenger.value:.3f}, {each.difference.value:+.3f} ({bounds}) to {than}"


def figures_of(found: list[Comparison]) -> dict[str, float]:
    """By name, for the summary and the registry."""
    names = {EVERYWHERE: "", EVERYTHING: "_to_everything"}
    figures: dict[str, float] = {}
    for each in found:
        name = names.get(each.kind, f"_{each.kind}_{each.name}")
        figures |= {f"f1_before{name}": each.champion.value, f"f1_after{name}": each.challenger.value}
        figures |= with_bounds(f"f1_difference{name}", each.difference)
    return figures


class Origin(NamedTuple):
    """Where an adapted network comes from: place, name and sha256 of the model before, digest of the ground, tiles of each split."""

    place: str
    parent: str
    parent_sha256: str
    data_sha256: str
    tiles: dict[str, int]


def card_of(spec: ModelSpec, origin: Origin, figures: dict[str, float], command: str) -> str:
    """The model card, Markdown."""
    tiles = ", ".join(f"{count} to {split}" for split, count in origin.tiles.items())
    lines = [
        f"# {spec.name}", "", halo_text(spec, figures), "", "## What it does",
        f"As {origin.parent} (sha256 `{origin.parent_sha256}`), adapted to place {origin.place}; use it there only.", "",
        "## Data and labels",
        f"Published footprints on the place's own images, table training_tiles: {tiles} (sha256 over all of it: {origin.data_sha256}).", "",
        "## Held-out figures",
        "Against footprints of ground that was neither learned from nor chosen on: these are labels with faults, not a survey.", "",
        *figure_rows(spec, figures), "",
        "## Limits",
        "Where footprints lack buildings the network learned that there are none. Ground that no footprint lies on was not judged.", "",
        *spec_and_command(spec, command),
    ]  # fmt: skip
    return "\n".join(lines)
