"""What a place may open besides the folders that its sources name: hosts, buckets, folders, and how requests are signed."""

import re
from typing import Literal

from pydantic import Field, field_validator

from conf.settings import Settings

SigningName = Literal["planetary_computer", "earthdata", "requester_pays", "anonymous"]
ENDPOINT = re.compile(r"https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(:\d{1,5})?(/[^\s?#]*)?")
PLANETARY_COMPUTER_TOKENS = "https://planetarycomputer.microsoft.com/api/sas/v1/token"


class Access(Settings):
    """Nothing but what is named here is ever contacted. None of it decides a pixel's value, so none of it is digested."""

    hosts: tuple[str, ...] = Field(
        default=(), description='e.g. "*.blob.core.windows.net", "127.0.0.1:8080", "s3://bucket"; * stands for any name'
    )
    roots: tuple[str, ...] = Field(default=(), description="folders that images may lie in, besides those that the sources name")
    signing: dict[str, SigningName] = Field(default_factory=dict, description="host as in `hosts` to how its requests are signed")
    token_url: str = Field(default=PLANETARY_COMPUTER_TOKENS, description="where planetary_computer asks for tokens")
    endpoints: dict[str, str] = Field(default_factory=dict, description="bucket as in `hosts` to the address of its service, e.g. MinIO's")
    requests_per_host: int = Field(default=16, ge=1, description="at once, by all tasks of a run together; each task may always make one")
    timeout_seconds: float = Field(default=30, gt=0, description="for an answer to begin, and between its parts")
    tries: int = Field(default=5, ge=1, le=20, description="of one request, with growing waits between them")
    wait_seconds: float = Field(default=0.5, ge=0, description="before the second try; it doubles with each")

    @field_validator("endpoints")
    @classmethod
    def addresses(cls, endpoints: dict[str, str]) -> dict[str, str]:
        for bucket, url in endpoints.items():
            if not ENDPOINT.fullmatch(url):
                raise ValueError(f"{bucket} has endpoint {url!r}; write its whole address, e.g. https://minio.example.org:9000")
        return endpoints
