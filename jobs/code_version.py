"""Which code made a row: the version, and a digest over the sources of the four packages."""

import functools
import hashlib
import io
import zipfile
from importlib import metadata
from pathlib import Path

PACKAGES = ("conf", "models", "udfs", "jobs")
CODE_ZIP = "urbantrace.zip"
"""Its name on executors, beside which their processes run."""
ROOT = Path(__file__).parents[1]


def _sources() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


@functools.cache
def code_version() -> str:
    """E.g. `0.1.0+3f2a90c1`: the distribution's version and the sources' digest."""
    content = hashlib.sha256()
    for path in _sources():
        content.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    try:
        version = metadata.version("urbantrace")
    except metadata.PackageNotFoundError:
        version = "source"
    return f"{version}+{content.hexdigest()[:8]}"


def write_code_zip(path: Path) -> None:
    """The packages as a zip for executors, the same bytes for the same sources."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for source in _sources():
            archive.writestr(zipfile.ZipInfo(str(source.relative_to(ROOT))), source.read_bytes())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())
