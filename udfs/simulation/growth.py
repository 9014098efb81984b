"""When things are built and gone: development times turned into years, so that the footprint area grows by the look's share."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from udfs.simulation.plots import Plots
from udfs.simulation.quarters import Doubles

Years = NDArray[np.int16]
FOREVER = 9999
"""`year_gone` of what still stands."""


@dataclass(frozen=True)
class Calendar:
    """Development time at the end of each year, ascending; `edges[0]` ends `first_year`."""

    first_year: int
    edges: Doubles

    def year(self, time: Doubles) -> Years:
        """First year in which something of these times stands; FOREVER when after the last."""
        count = len(self.edges)
        later = np.searchsorted(self.edges, time, side="left")
        earlier = np.clip(np.floor((self.edges[0] - time) * 18), 0, 60)
        years = np.where(later == 0, self.first_year - earlier, self.first_year + later)
        return np.asarray(np.where(later >= count, FOREVER, years), np.int16)


def calendar(plots: Plots, growth: float, first_year: int, last_year: int) -> Calendar:
    """Splits the area built between the first and the last year evenly over the years, from the look's growth (0.4 = 40 %)."""
    order = np.argsort(plots.time, kind="stable")
    time, area = plots.time[order], plots.building.prod(axis=1)[order]
    built = np.cumsum(area * (time <= 1.0))
    count = last_year - first_year + 1
    wanted = built[-1] * np.interp(np.arange(count), [0, max(count - 1, 1)], [1 / (1 + growth), 1.0]) if count > 1 else built[-1:]
    edges = time[np.minimum(np.searchsorted(built, wanted * (1 - 1e-9)), len(time) - 1)]
    return Calendar(first_year, np.maximum.accumulate(np.append(edges[:-1], 1.0)))


@dataclass(frozen=True)
class Standing:
    """Plots with their years: a plot that was built on twice appears twice."""

    plots: Plots
    built: Years
    gone: Years


def built_years(plots: Plots, dates: Calendar, draw: np.random.Generator) -> Standing:
    """Years of every building, about 0.4 % of the old ones demolished each year, half of these replaced by something larger."""
    built = dates.year(plots.time)
    count = len(dates.edges)
    ends = dates.first_year + 1 + (draw.integers(0, max(count - 1, 1), len(built)))
    lost = (draw.random(len(built)) < 0.004 * (count - 1)) & (built <= dates.first_year)
    gone = np.where(lost, ends, FOREVER).astype(np.int16)
    again = lost & (draw.random(len(built)) < 0.5)
    new = plots.chosen(again)
    bigger = replace(new, building=np.minimum(new.building * 1.15, new.plot * 0.98), wing=new.wing * 0, floors=new.floors + 1,
                     roof=draw.permutation(new.roof), shade=draw.permutation(new.shade))  # fmt: skip
    both = Plots(*(np.concatenate([getattr(plots, n), getattr(bigger, n)]) for n in Plots.__dataclass_fields__))
    years = np.concatenate([built, gone[again]]), np.concatenate([gone, np.full(int(again.sum()), FOREVER, np.int16)])
    kept = years[0] < FOREVER
    return Standing(both.chosen(kept), years[0][kept], years[1][kept])
