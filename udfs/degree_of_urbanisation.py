"""Degree of Urbanisation of cells of 1 km2 and of units, level 2; level 1 is the class's tens (a unit's: its first word).

UN Statistical Commission 2020; European Commission et al. 2021, Applying the Degree of Urbanisation; what GHSL Data Packages 2022 and 2023
do otherwise after flexurba (Van Migerode et al.), vignette 4: from which built share a cell may be of a centre, and who votes at its edge.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Labels = NDArray[np.int32]

CENTRE, DENSE, SEMI_DENSE, SUBURBAN, VILLAGE, LOW, VERY_LOW, WATER = 30, 23, 22, 21, 13, 12, 11, 10
UNKNOWN = 255
DENSE_KM2, TOWN_KM2, CLUSTER_KM2, LOW_KM2 = 1500.0, 900.0, 300.0, 50.0
"""People per km2 of permanent land from which a cell is of a centre or dense cluster, of a semi-dense one, of a cluster, low density."""
CENTRE_PEOPLE, CLUSTER_PEOPLE, TOWN_PEOPLE, VILLAGE_PEOPLE = 50_000.0, 5_000.0, 2_500.0, 500.0
MOST_FILLED = 15
"""A gap of fewer cells inside a centre is filled."""
APART = 2.5
"""Cells from the middle of a centre's or dense cluster's cell up to which there is no semi-dense cluster: 2 km from its edge."""
BESIDE, AROUND = ndimage.generate_binary_structure(2, 1), ndimage.generate_binary_structure(2, 2)
LAND = 0.5
"""Share of permanent land over which a cell is land."""


class Rules(NamedTuple):
    """Of a release: built share of land from which a cell may be of a centre; whether only land and inhabited cells vote at its edge."""

    built_share: float
    land_votes: bool


RULES = {"R2022": Rules(0.5, False), "R2023": Rules(0.2, True)}
"""R2023 takes the mean of the world's dense clusters, 0.1930 in 2020, rounded up."""


class Cells(NamedTuple):
    """Arrays (height, width) of cells of 1 km2: people, share of permanent land 0-1, built share of the land 0-1; NaN people: not known."""

    people: Floats
    land: Floats
    built: Floats

    @property
    def known(self) -> Mask:
        return np.isfinite(self.people)

    @property
    def density(self) -> Floats:
        """People per km2 of land; of a cell without land, per km2 of it."""
        return np.asarray(np.where(self.known, self.people, 0) / np.where(self.land > 0, self.land, 1))

    @property
    def votes(self) -> Mask:
        """Land, or somebody lives there."""
        return self.known & ((self.land > LAND) | (self.people > 0))


def classes_of(cells: Cells, rules: Rules) -> NDArray[np.uint8]:
    """Codes of level 2, uint8; UNKNOWN where people are not known."""
    dense = cells.density >= DENSE_KM2
    centres = centres_of(cells, rules)
    clusters = _large(cells.density >= CLUSTER_KM2, cells, AROUND, CLUSTER_PEOPLE) & (centres == 0)
    towns = _large(clusters & dense, cells, BESIDE, CLUSTER_PEOPLE)
    villages = _large((cells.density >= CLUSTER_KM2) & ~clusters & (centres == 0), cells, AROUND, VILLAGE_PEOPLE)
    codes = np.where(cells.density >= LOW_KM2, LOW, VERY_LOW).astype(np.uint8)
    codes[~cells.votes] = WATER
    codes[villages] = VILLAGE
    codes[clusters] = SUBURBAN
    codes[_semi_dense(cells, clusters & ~towns, towns | (centres > 0))] = SEMI_DENSE
    codes[towns] = DENSE
    codes[centres > 0] = CENTRE
    codes[~cells.known] = UNKNOWN
    return codes


def centres_of(cells: Cells, rules: Rules) -> Labels:
    """Urban centres, numbered from 1: 4-connected, their gaps filled and edges smoothed."""
    candidates = cells.known & (cells.land > 0) & (cells.built >= rules.built_share) | (cells.density >= DENSE_KM2)
    labels, _ = ndimage.label(_large(candidates, cells, BESIDE, CENTRE_PEOPLE), BESIDE)
    return edges_smoothed(gaps_filled(labels.astype(np.int32), cells.known), cells, rules)


def _large(chosen: Mask, cells: Cells, neighbours: Mask, least: float) -> Mask:
    """Cells of those components of `chosen` in which so many people live."""
    labels, count = ndimage.label(chosen, neighbours)
    people = np.bincount(labels.ravel(), np.where(cells.known, cells.people, 0).ravel(), count + 1)
    enough = people >= least
    enough[0] = False
    return np.asarray(enough[labels])


def gaps_filled(centres: Labels, known: Mask) -> Labels:
    """Gaps that one centre alone encloses; what ends where nothing is known is not enclosed."""
    filled = centres.copy()
    for number, box in enumerate(ndimage.find_objects(centres), 1):
        around = tuple(slice(max(part.start - 1, 0), part.stop + 1) for part in box)
        other, count = ndimage.label(np.pad(centres[around] != number, 1, constant_values=True), BESIDE)
        unknown = np.pad(~known[around], 1, constant_values=True)
        sizes = np.bincount(other.ravel(), minlength=count + 1)
        gap = sizes < MOST_FILLED
        gap[0], gap[np.unique(other[unknown])] = False, False
        inside = gap[other][1:-1, 1:-1] & (centres[around] == 0)
        filled[around][inside] = number
    return filled


def edges_smoothed(centres: Labels, cells: Cells, rules: Rules) -> Labels:
    """Cells most of whose neighbours are of one centre join it, until there are none: of all eight, or of those that vote."""
    voters = cells.votes if rules.land_votes else np.ones_like(cells.known)
    most = _neighbours(voters) if rules.land_votes else np.full(centres.shape, 8)
    may = cells.known & voters
    for _ in range(centres.size):
        joining = np.zeros_like(centres)
        for shifted in _shifted(centres):
            votes = sum((other == shifted) & (shifted > 0) for other in _shifted(np.where(voters, centres, 0)))
            joining = np.where((centres == 0) & may & (2 * np.asarray(votes) > most), shifted, joining)
        if not joining.any():
            break
        centres = np.where(joining > 0, joining, centres).astype(np.int32)
    return centres


def _shifted(values: Labels) -> list[Labels]:
    """The eight neighbours of every cell; 0 beyond the edge."""
    padded = np.pad(values, 1)
    height, width = values.shape
    return [padded[1 + y : 1 + y + height, 1 + x : 1 + x + width] for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x]


def _neighbours(chosen: Mask) -> Labels:
    return np.asarray(sum(part.astype(np.int32) for part in _shifted(chosen.astype(np.int32))), np.int32)


def _semi_dense(cells: Cells, left: Mask, dense: Mask) -> Mask:
    """Clusters of denser cells away from centres and dense clusters."""
    found, count = ndimage.label(_large(left & (cells.density >= TOWN_KM2), cells, BESIDE, TOWN_PEOPLE), BESIDE)
    near = ndimage.distance_transform_edt(~dense) <= APART if dense.any() else np.zeros_like(dense)
    away = np.ones(count + 1, bool)
    away[np.unique(found[near])] = False
    away[0] = False
    return np.asarray(away[found])


UNIT_CLASSES = {
    CENTRE: "city", DENSE: "dense town", SEMI_DENSE: "semi-dense town", SUBURBAN: "suburb", VILLAGE: "village", LOW: "dispersed rural area",
    VERY_LOW: "mostly uninhabited area",
}  # fmt: skip
TOWNS, RURAL = (DENSE, SEMI_DENSE, SUBURBAN), (VILLAGE, LOW, VERY_LOW)


def unit_class(people: dict[int, float]) -> int | None:
    """The code that a unit has by where its people live, by code of cells: half or more in centres, else more than half in rural cells,
    else towns; within these the code of most people, the denser of equal ones. None where nobody lives."""
    total = sum(people.values())
    if total <= 0:
        return None
    if 2 * people.get(CENTRE, 0.0) >= total:
        return CENTRE
    rural = sum(people.get(code, 0.0) for code in (*RURAL, WATER))
    group = RURAL if 2 * rural > total else TOWNS
    return max(group, key=lambda code: (people.get(code, 0.0), code))
