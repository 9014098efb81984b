"""An S3 service on loopback that checks keys and keeps a log: moto's, in a process of its own as the range server is."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import boto3

from tests.servers.range_server import ServerProcess

CLOSED = "closed"
"""A bucket that the workers' keys do not open."""
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"},
        {"Effect": "Deny", "Action": "s3:*", "Resource": f"arn:aws:s3:::{CLOSED}/*"},
    ],
}


class Asked(NamedTuple):
    """A request as it was answered; `signed`: with a key, `payer`: who says to pay."""

    method: str
    path: str
    range: str
    status: int
    signed: bool
    payer: str


class BucketService:
    """A running service: its URL, a worker's keys, and what was read of it so far."""

    def __init__(self, process: ServerProcess) -> None:
        self._process = process
        self.url = f"http://127.0.0.1:{process.port}"
        self._s3 = self._client("s3")
        self.keys = self._worker()
        """Environment variables of a worker that may read all buckets but CLOSED."""

    def put(self, bucket: str, key: str, data: bytes, public: bool = False) -> None:
        """Writes an object, its bucket if need be."""
        self._s3.create_bucket(Bucket=bucket)
        self._s3.put_object(Bucket=bucket, Key=key, Body=data, ACL="public-read" if public else "private")

    @property
    def reads(self) -> list[Asked]:
        asked = [Asked(*entry) for entry in self._process.state()["log"]]
        return [each for each in asked if each.method == "GET"]

    def _worker(self) -> dict[str, str]:
        iam = self._client("iam")
        iam.create_user(UserName="worker")
        iam.put_user_policy(UserName="worker", PolicyName="reads", PolicyDocument=json.dumps(POLICY))
        key = iam.create_access_key(UserName="worker")["AccessKey"]
        return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}

    def _client(self, service: str) -> Any:
        return boto3.client(service, endpoint_url=self.url, region_name="us-east-1", aws_access_key_id="any", aws_secret_access_key="any")


@contextmanager
def serving_buckets(
    payers: tuple[str, ...] = (), slow: Mapping[str, float] | None = None, instead: Mapping[str, tuple[int, str]] | None = None
) -> Iterator[BucketService]:
    """A service until the block ends. `payers`: buckets whose readers pay; `slow`: bucket to the waits within its answers, s;
    `instead`: path to a status and text that stand in for its answer.
    """
    process = ServerProcess({"payers": payers, "slow": slow or {}, "instead": instead or {}}, "tests.servers.bucket_process")
    try:
        yield BucketService(process)
    finally:
        process.stop()
