"""What the report says about its origin and its limits."""

import json
import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from udfs.report_page import paragraph, preformatted, table

PRIVATE = re.compile(r"\?[^\s\"']*|(?<=://)[^/@\s\"]*@|(?<=\")/[^\s\"]*/")
"""What follows `?` or stands before `@` in an address may be a key; folders of a machine are nobody else's business."""

LIMITS = (
    "Built-up is what the network of each layer takes for built-up; its errors are in the model card and, where there is a truth, "
    "in the chart above.",
    "Areas are geodesic sums of whole and cut pixels. A unit that reaches beyond the images is described by its part with data: "
    "the column 'with data' says how much that is.",
    "Land consumption compares the built-up share of the ground with data at both dates. Where that share of ground differs too much, "
    "there is no value but a reason.",
    "People are those of the reference date, interpolated between census years; outside them those of the nearest year, which is named.",
    "Lower and upper bounds are printed only where errors of areas and people are declared "
    "(settings indicators.built_sd and indicators.people_sd).",
    "A building that touches ground without result may go on beyond it (column open_edge of table buildings).",
)


def model_table(models: pd.DataFrame) -> str:
    """Columns layer, model_name, model_version, model_labels, model_sha256, threshold (0-250)."""
    rows = [
        [
            row["layer"], row["model_name"], str(row["model_version"]), f"{row['threshold'] / 250:.3f}",
            row["model_labels"] or "–", row["model_sha256"],
        ]
        for row in models.to_dict("records")
    ]  # fmt: skip
    return table(["layer", "model", "version", "threshold", "labels learned from", "sha256 of the weights"], rows, "models")


def scene_table(scenes: pd.DataFrame) -> str:
    """Columns scene_id, sensor, datetime, licence, attribution."""
    rows = [
        [row["scene_id"], row["sensor"], f"{row['datetime']:%Y-%m-%d}", row["licence"] or "–", row["attribution"] or "–"]
        for row in scenes.to_dict("records")
    ]
    return table(["image", "sensor", "date, UTC", "licence", "attribution"], rows, "images used")


def settings_text(settings: Mapping[str, Any]) -> str:
    """Settings as JSON without what is PRIVATE."""
    text = json.dumps(settings, indent=2, sort_keys=True, default=str, ensure_ascii=False)
    return preformatted(PRIVATE.sub("…", text))


def limits() -> str:
    """What a reader must know before using the numbers."""
    return "".join(paragraph(text) for text in LIMITS)
