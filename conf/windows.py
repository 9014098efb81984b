"""Training windows: the columns in which a job hands labelled ground to a network's training."""

FULL_LABEL = 250
"""The uint8 label that stands for 1."""

FULL_WEIGHT = 10
"""The uint8 weight that stands for 1; 0 = no label."""

TRAIN, CHOOSE, UNLABELLED, JUDGE = "train", "choose", "unlabelled", "judge"
"""Splits: to learn from, to choose thresholds and checkpoints on, to learn from without labels, to judge the finished network on."""

CHANGES = "changes"
"""What labels tell that only say where ground of one date is not as at another."""

WINDOW_COLUMNS = {
    "source": "string",
    "ground": "string",
    "date": "string",
    "tells": "string",
    "split": "string",
    "sensor": "string",
    "share": "double",
    "bands": "int",
    "height": "int",
    "width": "int",
    "values": "binary",
    "labels": "binary",
    "weights": "binary",
}
"""Name to Spark type. `ground`: windows that name the same show the same pixels at several dates; empty: there is no other date.
`date`: ISO, that the window stands for; empty: not told.
`tells`: `changes` where labels of one ground's dates only tell what differs between them; empty: what is built.
`sensor`: a key of conf/sensors.py, or what is simulated. `share`: how often it is drawn, relative to its pixels.
`values`: float16 (bands, height, width), NaN = no data.
`labels`: uint8 (height, width), 0-250. `weights`: uint8 (height, width), tenths."""

WINDOW_DDL = ", ".join(f"{name} {kind} NOT NULL" for name, kind in WINDOW_COLUMNS.items())


def channel_names(bands: tuple[str, ...], dates: int) -> tuple[str, ...]:
    """Of `dates` images one upon the other: of several each band's name with the date's number, from 1."""
    return bands if dates == 1 else tuple(f"{band}@{number}" for number in range(1, dates + 1) for band in bands)
