"""Recipes of networks: conf/training/<network>.yaml as typed settings, and the training windows that they order."""

import datetime as dt
import json
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from conf.errors import InputError
from conf.plain_yaml import plain_yaml
from conf.settings import Settings, parse
from models.bundle import UNKNOWN, ModelSpec, spec_of
from udfs.series_datasets import Listed, listed

FOLDER = Path(__file__).parents[1] / "conf" / "training"
FOLDS = 5
"""Parts into which sites of public data sets are dealt, so that a network is judged on sites that it has not seen."""
VARIABLE = re.compile(r"\$\{([A-Z][A-Z0-9_]*)\}")


class Group(Settings):
    """Windows made in one way; which fields count depends on `kind`."""

    kind: Literal["simulated_sentinels", "simulated_landsat", "simulated_rgb", "footprints", "weak", "spacenet7", "wusu", "tscd"]
    split: Literal["train", "choose", "unlabelled", "judge"]
    share: float = Field(1.0, gt=0, description="how often a window is drawn, relative to its pixels")
    cities: dict[int, str] = Field(default_factory=dict, description="seed to look of simulated cities; never the default's")
    years: tuple[int, int] | None = Field(
        None, description="first and last that simulated cities live through; a window of the same ground for each"
    )
    size_m: float = Field(5120.0, gt=0, description="side of a simulated city, metres")
    side_m: float = Field(150.0, gt=0, description="side of an aerial image, metres")
    gsd: tuple[Annotated[float, Field(gt=0)], ...] = Field((10.0,), description="pixel sizes, metres; one window of each city for each")
    cloud: float = Field(0.1, ge=0, le=1, description="mean cloud cover of simulated dates")
    wet: float = Field(0.0, ge=0, lt=1, description="share of simulated open ground that is darkened as mud is")
    bare: float = Field(0.0, ge=0, lt=1, description="share of simulated open ground that is turned to light dry soil")
    softness: float = Field(0.0, ge=0, le=1, description="width of the ramp of labels over built shares around one half; 0 = a step")
    sparse_weight: int = Field(
        1, ge=1, le=25, description="simulated built pixels with few others around weigh so much, as does what lies beside"
    )
    href: tuple[str, ...] = Field((), description="images; {band} stands for each band name")
    resolution: float | None = Field(None, gt=0, description="metres of the UTM grid that images are read on; default: their own grid")
    series: bool = Field(False, description="the images show the same ground, in order of date")
    folder: str | None = Field(None, description="of a public data set of image series (udfs/series_datasets.py): where its parts lie")
    part: str = Field("train", description="... and which of its parts")
    folds: tuple[int, ...] = Field((), description="... and which of its sites, by their number modulo FOLDS; default: all")
    rows: tuple[int, int] | None = Field(None, description="... and the first and last row, less one, with labels; default: all")
    sensor: str | None = None
    datetime: dt.date = dt.date(2000, 1, 1)
    dates: tuple[dt.date, ...] = Field((), description="of each of `href`, for networks of series; default: `datetime`, which tells none")
    rules: Literal["sentinel2", "landsat"] | None = None
    footprints: str | None = Field(None, description="GeoJSON, EPSG:4326")
    columns: tuple[float, float] = Field((0.0, 1.0), description="from, to; shares of the image's width from the west")
    gap_px: int = Field(4, ge=1, description="ground with two buildings this near, pixels, ...")
    gap_weight: int = Field(1, ge=1, le=25, description="... weighs so much")


class Recipe(Settings):
    """How a network is made. `spec`, `course`, `augmentation` and `teaching` are fields of the classes of models/ of these
    names; teaching of a network of series those of SeriesTeaching."""

    spec: dict[str, Any]
    course: dict[str, Any]
    augmentation: dict[str, Any]
    teaching: dict[str, Any] = Field(default_factory=dict)
    series: dict[str, Any] = Field(
        default_factory=dict, description="of a network of image series: fields of models.series_crops.SeriesDraw"
    )
    start: str | None = Field(None, description="of a network of series: the shipped network whose weights it begins with")
    threshold: Literal["best_f1", "equal_area", "half"]
    windows: tuple[Group, ...] = ()
    tiles: int = Field(0, ge=0, description="of table training_tiles, windows held in memory at a time; 0 = not learned from")
    card: dict[str, str] = Field(description="heading to text of the model card")


def read_recipe(network: str) -> Recipe:
    """The recipe of a network; `${NAME}` in it stands for an environment variable. Raises InputError."""
    path = FOLDER / f"{network}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in FOLDER.glob("*.yaml")))
        raise InputError(f"train.network {network}: no recipe; use one of {known}, or write {path.name}")
    text = VARIABLE.sub(_variable, path.read_text(encoding="utf-8"))
    recipe: Recipe = parse(Recipe, plain_yaml(text, path.name), "train")
    return recipe


def labels_of(spec: Any) -> str:
    """Where a network's labels came from; of a bundle that does not tell, what the recipe of its name says."""
    path = FOLDER / f"{spec.name}.yaml"
    if spec.labels != UNKNOWN or not path.is_file():
        return str(spec.labels)
    return str(plain_yaml(path.read_text(encoding="utf-8"), path.name)["spec"].get("labels", UNKNOWN))


def orders(recipe: Recipe) -> list[str]:
    """One JSON text for each window to train and choose on, for udfs/training_windows.py."""
    return _texts(recipe, False)


def held_out_orders(recipe: Recipe) -> list[str]:
    """One JSON text for each window to judge the finished network on."""
    return _texts(recipe, True)


def _texts(recipe: Recipe, held_out: bool) -> list[str]:
    spec = untrained_spec(recipe)
    shown = {"bands": [*spec.bands, *(spec.beside.bands if spec.beside else ())], "slots": spec.dates}
    groups = [group for group in recipe.windows if (group.split == "judge") == held_out]
    return [json.dumps({**order, **shown}, sort_keys=True) for group in groups for order in _orders(group)]


def _orders(group: Group) -> list[dict[str, Any]]:
    shared = {**group.model_dump(mode="json"), "dates": [group.datetime.isoformat()]}
    if group.folder:
        return [{**shared, **item._asdict(), "source": f"{item.ground} {item.date}"} for item in _sites(group.kind, group.folder, group)]
    if group.years:
        return [order for city in group.cities.items() for order in _yearly(shared, *city, group)]
    if group.cities:
        return [
            {**shared, "source": f"{group.kind} {seed} {look} {gsd:g} m", "seed": seed, "look": look, "gsd": gsd, "dates": _dates(seed)}
            for seed, look in group.cities.items()
            for gsd in group.gsd
        ]
    return [
        {**shared, "source": _source(href, group), "href": href, "series": list(group.href if group.series else (href,)), "date": date}
        for href, date in zip(group.href, [day.isoformat() for day in group.dates] or [""] * len(group.href), strict=True)
    ]


def _sites(kind: str, folder: str, group: Group) -> list[Listed]:
    """Images of the group's sites; their ground is named by the data set, too."""
    items = listed(kind, Path(folder), group.part)
    number = {ground: each for each, ground in enumerate(sorted({item.ground for item in items}))}
    return [
        item._replace(ground=f"{kind}/{item.ground}") for item in items if not group.folds or number[item.ground] % FOLDS in group.folds
    ]


def _yearly(shared: dict[str, Any], seed: int, look: str, group: Group) -> list[dict[str, Any]]:
    """A city's windows, one for each of its years, from one to four of its dates."""
    ground = f"{group.kind} {seed} {look} {group.gsd[0]:g} m"
    first, last = group.years or (0, -1)
    return [
        {**shared, "source": f"{ground} {year}", "ground": ground, "seed": seed, "look": look, "dates": _dates(seed + 7 * year, year)}
        for year in range(first, last + 1)
    ]


def _source(href: str, group: Group) -> str:
    path = Path(href)
    return f"{path.parent.name}/{path.name} {group.columns[0]:g}-{group.columns[1]:g}"


def _dates(seed: int, year: int | None = None) -> list[str]:
    """One to four dates of one year, spread over the seasons."""
    days = (dt.date(year or 2017 + seed % 6, 1, 5) + dt.timedelta(days=(seed * 37 + 83 * number) % 360) for number in range(1 + seed % 4))
    return sorted(day.isoformat() for day in days)


def _variable(match: re.Match[str]) -> str:
    """A folder, absolute: workers open what lies in it from other folders than the driver's."""
    value = os.environ.get(match[1])
    if value is None:
        raise InputError(f"{match[1]} is not set; export {match[1]}=FOLDER, where the training data lie")
    return str(Path(value).absolute())


def untrained_spec(recipe: Recipe) -> ModelSpec:
    """The spec of a network before its threshold is chosen. Raises InputError."""
    try:
        return spec_of({"threshold": 0.5, **recipe.spec})
    except (TypeError, ValueError) as error:
        raise InputError(f"recipe of {recipe.spec.get('name')}: spec: {error}; correct it in conf/training") from None


def typed(kind: Any, values: dict[str, Any]) -> Any:
    """A dataclass from YAML values; its sequences are tuples."""
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def course_of(recipe: Recipe, **changed: Any) -> Any:
    """The recipe's course, some fields changed; models.course.Course."""
    from models.augmentation import Augmentation
    from models.course import Course

    return Course(**{**recipe.course, **changed}, augmentation=typed(Augmentation, recipe.augmentation))


def halo_text(spec: Any, figures: dict[str, float]) -> str:
    """The halo as declared, beside what was measured (models/halo.py)."""
    return (
        f"Halo {spec.halo} pixels. All but a ten-millionth of the gradient's energy lies within {figures['halo_by_gradient']:g} pixels; "
        f"moved windows change {figures['changed_percent']:.3f} % of pixels by more than one step, 0.01 % is allowed."
    )


def card_text(recipe: Recipe, spec: Any, figures: dict[str, float], sources: list[str], sha256: str) -> str:
    """The model card, Markdown."""
    lines = [f"# {spec.name}", ""]
    lines += [f"Weights `{sha256[:16]}…`, {spec.window} x {spec.window} pixel windows of which {spec.centre} x {spec.centre} are kept.", ""]
    lines += [halo_text(spec, figures), ""]
    for heading, text in recipe.card.items():
        lines += [f"## {heading}", text.strip(), ""]
    lines += ["## Figures on the windows that the threshold was chosen on", "", *figure_rows(spec, figures), ""]
    lines += ["## Training windows", "", *[f"- {source}" for source in sources], ""]
    lines += spec_and_command(spec, f"./spark-submit.sh train --set train.network={spec.name}")
    return "\n".join(lines)


def figure_rows(spec: Any, figures: dict[str, float]) -> list[str]:
    """A card's table of figures, the threshold last."""
    named = [f"| {name} | {value:.3f} |" for name, value in sorted(figures.items())]
    return ["| figure | value |", "| --- | --- |", *named, f"| threshold | {spec.threshold:.3f} |"]


def spec_and_command(spec: Any, command: str) -> list[str]:
    """How every card ends: the spec, and how the model is made again."""
    facts = {name: value for name, value in spec.facts.items() if name not in ("name", "layer")}
    return ["## Spec", "", "```json", json.dumps(facts, indent=1, sort_keys=True), "```", "", "## Rebuild", "", f"`{command}`", ""]
