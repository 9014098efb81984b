"""Jobs `units`, `population`, `unit_statistics` and `indicators` by the command line, of a simulated country of 10,000 tiles and 50,000
units and of a quarter of it: seconds, peaks of memory and how these grow. Sums are held against numpy and exactextract.

`python -m benchmarks.country FOLDER [--only SIDE,UNITS,DISTRICTS,REGIONS]`: in a new folder."""

import argparse
import sys
from pathlib import Path

from benchmarks.commands import CommandUse, run_command
from benchmarks.country_checks import check
from benchmarks.country_ground import Size
from benchmarks.country_tables import NAME, PLACE_FILE, write_country
from benchmarks.memory import in_own_process
from benchmarks.pairs import Measure

QUARTER, WHOLE = Size(50, 12_500, 125, 5), Size(100, 50_000, 500, 20)
JOBS = ("units", "population", "unit_statistics", "indicators")
OPTIONS = ("--master", "local[2]", "--conf", "spark.driver.memory=1g")
"""Half of the usual memory."""
TIMES, MEMORY = 4.4, 1.2
PEAKS = ("jvm", "driver", "worker", "workers")


def measured(folder: Path, sizes: list[Size]) -> list[Measure]:
    """Of one run each; the last size beside the first. Raises ValueError where a job fails or a sum differs."""
    countries = {size: _country(folder / f"{size.units}", size) for size in sizes}
    seconds = [
        Measure(f"country: {size.units:,}, {job}", "s", (use.seconds,), note=_note(use))
        for size, uses in countries.items()
        for job, use in uses.items()
    ]
    if len(sizes) == 1:
        return seconds
    few, many = countries[sizes[0]], countries[sizes[-1]]
    growth = {"time": (sum(use.seconds for use in many.values()) / sum(use.seconds for use in few.values()), TIMES)}
    growth |= {f"peak of {each}": (_peak(many, each) / _peak(few, each), MEMORY) for each in PEAKS}
    return [*seconds, *(Measure(f"country: {name}", "x", (ratio,), reach, at_most=True) for name, (ratio, reach) in growth.items())]


def _peak(uses: dict[str, CommandUse], process: str) -> float:
    return max(float(getattr(use, process)) for use in uses.values())


def _note(use: CommandUse) -> str:
    return f"CPU {use.cpu:.0f} s; peak " + ", ".join(f"{each} {getattr(use, each):.0f}" for each in PEAKS) + " MiB"


def _country(folder: Path, size: Size) -> dict[str, CommandUse]:
    """What each job needed; what all of them made is compared and printed."""
    in_own_process(write_country, folder, size)
    uses = {}
    for job in JOBS:
        uses[job] = run_command([sys.executable, "-m", "jobs.cli", job, "--place", str(folder / PLACE_FILE), *OPTIONS])
        print(f"{size.units:,} units: {job}: {uses[job]}", file=sys.stderr, flush=True)
    print(f"{size.units:,} units: {check(folder / 'warehouse' / NAME, size)}", file=sys.stderr, flush=True)
    return uses


def main(arguments: list[str]) -> None:
    """Prints every measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.country")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", metavar="SIDE,UNITS,DISTRICTS,REGIONS", help="of this size alone")
    options = parser.parse_args(arguments)
    sizes = [Size(*map(int, options.only.split(",")))] if options.only else [QUARTER, WHOLE]
    print("\n".join(measure.line() for measure in measured(options.folder, sizes)))


if __name__ == "__main__":
    main(sys.argv[1:])
