"""A network's course from plain values, so that it can run in this process or in others: windows in, weights and figures out."""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import Field

from conf.errors import InputError
from conf.settings import Settings, digest
from conf.windows import CHOOSE, TRAIN, UNLABELLED
from jobs.recipes import Recipe, course_of, untrained_spec

if TYPE_CHECKING:  # torch takes seconds, and most commands need none
    from models.fitting import Fitted

Report = Callable[[str], None]

MOST_TO_CHOOSE_ON = 64
"""Tiles of split `choose` that thresholds and checkpoints are chosen on."""
MOST_DRAWING = 8
"""Threads that draw crops for a GPU."""
Device = Literal["auto", "cpu", "cuda"]


class CourseOrder(Settings):
    """All that decides a course, and where it runs."""

    recipe: Recipe
    windows: tuple[str, ...] = Field((), description="Parquet files of conf/windows.py")
    tiles: tuple[str, ...] = Field((), description="Parquet files of table training_tiles")
    without: str | None = Field(None, description="world region that is left out")
    label_share: float = Field(1.0, gt=0, le=1, description="of the grounds of split `train`, those whose labels are learned from")
    steps: int | None = Field(None, description="of the first course; default: the recipe's")
    threads: int = 1
    processes: int = 1
    device: Device = Field("cpu", description="auto: cuda where it is there; of several processes only where it is asked for")
    checkpoints: str | None = Field(None, description="folder in which an unfinished course is kept")


class Taught(NamedTuple):
    """A fitted network, what it learned from for people, and a sha256 over that."""

    fitted: "Fitted"
    sources: list[str]
    data_sha256: str


def taught(order: CourseOrder, report: Report) -> Taught:
    """Run the course, or go on with it. Raises InputError where nothing is left to learn from or to choose on."""
    import torch

    from models.distributed import device_of, rank
    from models.fitting import Teaching, fit
    from models.streaming import WindowStream, tiles_digest
    from models.windows import windows_digest

    torch.set_num_threads(order.threads)
    recipe, spec, windows = order.recipe, untrained_spec(order.recipe), _windows(order)
    course = course_of(recipe, **({"steps": order.steps} if order.steps else {}))
    stream = None
    if order.tiles:
        stream = WindowStream(order.tiles, TRAIN, spec.channels, recipe.tiles, [course.seed, rank()], order.without)
    _refuse_empty(windows, stream, order)
    data = windows_digest(windows) + (tiles_digest(order.tiles) if order.tiles else "")
    data_sha256 = hashlib.sha256(data.encode()).hexdigest()
    device = "cpu" if order.processes > 1 and order.device == "auto" else order.device
    machine = machine_for(device_of(device), _kept_in(order, data_sha256))
    if spec.of_series:
        fitted = _fitted_series(order, spec, windows, course, report, machine)
    else:
        fitted = fit(spec, windows, course, Teaching(**recipe.teaching), recipe.threshold, report, stream, machine)
    sources = sorted({f"{window.source} ({window.split})" for window in windows})
    sources += [f"table training_tiles, {stream.count} tiles (train)"] if stream else []
    return Taught(fitted, sources, data_sha256)


def _fitted_series(order: CourseOrder, spec: Any, windows: Any, course: Any, report: Report, machine: Any) -> "Fitted":
    from models.series import series_of
    from models.series_crops import SeriesDraw
    from models.series_fitting import fit_series
    from models.series_teaching import SeriesTeaching

    recipe = order.recipe
    draw, teaching = SeriesDraw(**recipe.series), SeriesTeaching(**recipe.teaching)
    return fit_series(spec, series_of(windows), course, draw, recipe.threshold, report, start_of(recipe), machine, teaching)


def start_of(recipe: Recipe) -> Any:
    """The shipped network that a recipe starts from, or None. Raises InputError where there is none of that name."""
    from models.predictor import load_predictor
    from models.registry import shipped_models

    if recipe.start is None:
        return None
    pins = shipped_models()
    if recipe.start not in pins:
        raise InputError(f"recipe of {recipe.spec['name']}: start {recipe.start} is not shipped; use one of {', '.join(sorted(pins))}")
    return load_predictor(pins[recipe.start].path, pins[recipe.start].sha256)


def machine_for(device: str, checkpoints: Path | None) -> Any:
    """A GPU would wait for its crops if one thread drew them; on a CPU those threads would take what computes."""
    from models.course import Machine

    ahead = 0 if device == "cpu" else min(MOST_DRAWING, (os.cpu_count() or 1) - 1)
    return Machine(device, checkpoints, ahead=ahead)


def taught_together(text: str, report: Report) -> Taught:
    """The same in one of several processes; the order as JSON. Only the first one reports."""
    from models.distributed import joined, rank

    order = CourseOrder.model_validate_json(text)
    with joined(order.device):
        return taught(order, report if rank() == 0 else _silent)


def forget(order: CourseOrder) -> None:
    """Drop what is kept of a course that is finished, and of others that never were."""
    if order.checkpoints and Path(order.checkpoints).exists():
        shutil.rmtree(order.checkpoints)


def _kept_in(order: CourseOrder, data_sha256: str) -> Path | None:
    """A folder for this course alone: another recipe, other data or another number of processes do not go on with it."""
    decided = [order.model_dump(mode="json", exclude={"checkpoints", "windows", "tiles"}), data_sha256]
    return Path(order.checkpoints) / digest(decided)[:16] if order.checkpoints else None


def _silent(text: str) -> None:
    return None


def _windows(order: CourseOrder) -> Any:
    from models.streaming import held_windows
    from models.windows import figure_name, read_windows, region_of

    left_out = figure_name(order.without or "")
    found = [window for window in read_windows(order.windows) if region_of(window.source) != left_out]
    if order.tiles:
        found += held_windows(order.tiles, CHOOSE, untrained_spec(order.recipe).channels, MOST_TO_CHOOSE_ON, without=order.without)
    return with_labels(found, order.label_share)


def with_labels(windows: Any, share: float) -> Any:
    """The windows, of split `train` this share of the grounds, at least one, the same each time; others as if nobody had labelled them."""
    grounds = {window.place for window in windows if window.split == TRAIN}
    shuffled = sorted(grounds, key=lambda ground: hashlib.sha256(ground.encode()).hexdigest())
    kept = set(shuffled[: max(1, round(share * len(shuffled)))])
    hidden = [window.split == TRAIN and window.place not in kept for window in windows]
    return [window._replace(split=UNLABELLED) if gone else window for window, gone in zip(windows, hidden, strict=True)]


def _refuse_empty(windows: Any, stream: Any, order: CourseOrder) -> None:
    splits = {window.split for window in windows} | ({TRAIN} if stream else set())
    if lacking := sorted({TRAIN, CHOOSE} - splits):
        left = f" without region {order.without}" if order.without else ""
        raise InputError(f"network {order.recipe.spec['name']}: no ground of split {lacking[0]}{left}; give its recipe some, or `tiles`")
