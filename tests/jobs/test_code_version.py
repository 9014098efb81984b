"""The zip that workers get: every module can be imported from it alone."""

import subprocess
import sys
from pathlib import Path

from jobs.code_version import PACKAGES, ROOT, write_code_zip

FIND = """
import importlib.util, sys
sys.path.insert(0, sys.argv[1])
print(*(importlib.util.find_spec(name).origin for name in sys.argv[2:]), sep="\\n")
"""


def modules() -> list[str]:
    files = [path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return sorted(".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in files)


def test_every_module_is_found_in_the_zip(tmp_path: Path) -> None:
    code = tmp_path / "code.zip"
    write_code_zip(code)
    command = [sys.executable, "-I", "-c", FIND, str(code), *modules()]
    found = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout.splitlines()
    assert len(found) == len(modules()) > 100
    assert all(origin.startswith(str(code)) for origin in found)
