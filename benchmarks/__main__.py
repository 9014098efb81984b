"""`python -m benchmarks NAME … | all [--json FILE] [--all-land]`: each module here with a function `measure` is a benchmark of its name.

`--all-land`: `planning` does the whole land of the earth, too (`measure_all_land`)."""

import argparse
import importlib
import importlib.metadata
import json
import pkgutil
import platform
import sys
from pathlib import Path
from types import ModuleType

import benchmarks
from benchmarks.pairs import Measure

PACKAGES = ("numpy", "scipy", "shapely", "rasterio", "pyproj", "exactextract", "pandas", "torch", "pyspark")


def found() -> dict[str, ModuleType]:
    """Benchmarks by name."""
    names = (module.name for module in pkgutil.iter_modules(benchmarks.__path__) if module.name not in ("__main__", "pairs"))
    modules = {name: importlib.import_module(f"benchmarks.{name}") for name in names}
    return {name: module for name, module in modules.items() if hasattr(module, "measure")}


def versions() -> dict[str, str]:
    """Of Python and the packages measured."""
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in PACKAGES}


def main(arguments: list[str]) -> int:
    """Prints every measure; exit code 0, or 1 where a comparison disagreed, 2 for an unknown name."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("names", nargs="+", metavar="NAME")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--all-land", action="store_true", help="planning: the land of the earth, too, which takes half an hour")
    options = parser.parse_args(arguments)
    modules = found()
    names = sorted(modules) if options.names == ["all"] else options.names
    unknown = [name for name in names if name not in modules]
    if unknown:
        print(f"benchmark {unknown[0]}: not known; use one of {', '.join(sorted(modules))}, or all", file=sys.stderr)
        return 2
    print("  ".join(f"{name} {version}" for name, version in versions().items()), flush=True)
    measures, failed = _measured({name: modules[name] for name in names}, options.all_land)
    if options.json:
        values = [{**measure._asdict(), "median": measure.median, "reached": measure.reached} for measure in measures]
        options.json.write_text(json.dumps({"versions": versions(), "measures": values}, indent=1) + "\n", encoding="utf-8")
    return 1 if failed else 0


def _measured(modules: dict[str, ModuleType], all_land: bool) -> tuple[list[Measure], bool]:
    measures: list[Measure] = []
    failed = False
    for name, module in modules.items():
        try:
            results = module.measure_all_land() if all_land and hasattr(module, "measure_all_land") else module.measure()
        except ValueError as error:
            print(f"{name}: FAILED: {error}", flush=True)
            failed = True
            continue
        for result in results:
            print(result.line(), flush=True)
        measures += results
    return measures, failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
