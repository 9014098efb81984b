"""Answers of the range server to sound requests: files, ranges of them, tokens, bare statuses."""

import datetime as dt
import json
import mimetypes
import os
import re
from collections.abc import Mapping
from email.message import Message
from email.utils import formatdate
from pathlib import Path
from typing import NamedTuple


class Answer(NamedTuple):
    """Status, headers and body of an answer; the body is left out where the request was a HEAD."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def plain_answer(status: int, headers: Mapping[str, str] | None = None) -> Answer:
    body = b"" if status in (204, 304) else f"{status}\n".encode()
    return Answer(status, {"Content-Type": "text/plain", "Content-Length": str(len(body)), **(headers or {})}, body)


def token_answer(token: str, life_s: float | None) -> Answer:
    """A token whose life is counted in requests says an hour, and so ends early."""
    expires = (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=3600.0 if life_s is None else life_s)).isoformat().replace("+00:00", "Z")
    body = json.dumps({"msft:expiry": expires, "expires": expires, "token": token}).encode()
    return Answer(200, {"Content-Type": "application/json", "Content-Length": str(len(body))}, body)


def file_answer(folder: Path, path: str, asked: Message, get: bool) -> Answer:
    """The file, or of a GET a range of it, as RFC 9110 (13.1, 14.2) has it; all of one answer comes from one open file, replaced or not."""
    target = folder if "\0" in path else (folder / path.lstrip("/")).resolve()
    if not target.is_relative_to(folder) or not target.is_file():
        return plain_answer(404)
    with target.open("rb") as file:
        stat = os.fstat(file.fileno())
        etag = f'"{stat.st_size:x}-{stat.st_mtime_ns:x}-{stat.st_ino:x}"'
        changed = formatdate(stat.st_mtime, usegmt=True)
        headers = {"ETag": etag, "Last-Modified": changed, "Accept-Ranges": "bytes"}
        if asked.get("If-Match", etag) not in (etag, "*"):
            return plain_answer(412, headers)
        part = get and asked.get("If-Range", etag) in (etag, changed)
        span = _span(asked.get("Range", ""), stat.st_size) if part else None
        if span is not None and span[0] >= span[1]:
            return plain_answer(416, {**headers, "Content-Range": f"bytes */{stat.st_size}"})
        start, stop = span or (0, stat.st_size)
        file.seek(start)
        body = file.read(stop - start) if get else b""
    headers |= {"Content-Type": mimetypes.guess_type(target.name)[0] or "application/octet-stream", "Content-Length": str(stop - start)}
    if span is None:
        return Answer(200, headers, body)
    return Answer(206, {**headers, "Content-Range": f"bytes {start}-{stop - 1}/{stat.st_size}"}, body)


def _span(text: str, size: int) -> tuple[int, int] | None:
    """Start and stop of a single range, empty where it lies beyond the file; None for what is no single range and so ignored."""
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", text)
    if found is None or found[0] == "bytes=-":
        return None
    first, last = found[1], found[2]
    if not first:
        return max(size - int(last), 0), size
    if last and int(last) < int(first):
        return None
    return int(first), min(int(last) + 1, size) if last else size
