"""Is a file still what was planned with? Size and time tell quickly, content decides."""

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

from conf.errors import ReadError

HASHED_WHOLE = 256 * 2**20
"""Files up to this size, in bytes, are digested whole; of larger ones both ends and the size."""


class LocalVersion(NamedTuple):
    """Of a file on disk: bytes, time of change in ns, inode."""

    size: int
    changed: int
    inode: int


def local_version(path: str) -> LocalVersion:
    """As it is now; raises OSError."""
    found = os.stat(path)  # noqa: PTH116 - every window asks, and a Path costs as much again
    return LocalVersion(found.st_size, found.st_mtime_ns, found.st_ino)


def recorded_version(path: str, content: str) -> str:
    """What `scenes.versions` keeps of a file: size, time, sha256 of its content."""
    found = local_version(path)
    return f"{found.size}-{found.changed}-{content}"


def refuse_changed_file(path: str, recorded: str) -> None:
    """Raises ReadError `changed_source` when the file's content is not the recorded one's; a copy with another date is the same."""
    found = local_version(path)
    size, changed, content = recorded.split("-", 2)
    if (str(found.size), str(found.changed)) != (size, changed):
        refuse_other_content(path, content, "scenes")


def refuse_other_content(path: str, planned: str, job: str) -> None:
    """Raises ReadError `changed_source` when the sha256 of the file's content is not the planned one; `job` is to run again."""
    now = content_digest(Path(path))
    if now != planned:
        raise ReadError("changed_source", f"{Path(path).name}: planned with {planned[:12]}, now {now[:12]}; run {job} again")


def content_digest(path: Path) -> str:
    """sha256 of a file, hex; raises ReadError."""
    try:
        return _digest_of_bytes(path)
    except OSError as error:
        raise ReadError("read_failed", f"{path.name}: {error.strerror}; check that the file can be read") from None


def _digest_of_bytes(path: Path) -> str:
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= HASHED_WHOLE:
            return hashlib.file_digest(file, "sha256").hexdigest()
        ends = hashlib.sha256(str(size).encode() + file.read(2**20))
        file.seek(-(2**20), 2)
        ends.update(file.read())
    return ends.hexdigest()
