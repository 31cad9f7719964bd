"""An S3 server over HTTP for the tests: it knows one key, checks signatures, and keeps nothing."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

BUCKET = "levada-tests"
_REGION = "us-east-1"
_SECONDS = 30


@dataclass(frozen=True)
class S3:
    """A running server.

    Args:
        url: of its endpoint.
        key, secret: what it accepts.
    """

    url: str
    key: str
    secret: str

    @property
    def options(self) -> dict[str, str]:
        """As a connection's `storage_options`."""
        return {
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_REGION": _REGION,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ALLOW_HTTP": "true",
        }

    def prefix(self) -> str:
        """A fresh prefix of the bucket."""
        return f"s3://{BUCKET}/{uuid4().hex[:12]}"


def missing() -> str | None:
    """Why there can be no server; None if there can."""
    absent = [name for name in ("moto", "flask_cors", "boto3") if find_spec(name) is None]
    return f"no S3 server: {absent[0]} is missing; uv sync --group test" if absent else None


@contextmanager
def running(log: Path) -> Iterator[S3]:
    """Start a server on a free port of 127.0.0.1, make a user and a bucket, and stop it at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with log.open("wb") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, **_AUTHENTICATED})
        try:
            yield _prepared(server, f"http://127.0.0.1:{port}", log)
        finally:
            server.send_signal(signal.SIGTERM)
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


#: The first actions make the user; all later ones need its key.
_AUTHENTICATED = {"INITIAL_NO_AUTH_ACTION_COUNT": "4"}


def _prepared(server: subprocess.Popen[bytes], url: str, log: Path) -> S3:
    import boto3

    deadline = time.monotonic() + _SECONDS
    while not _answers(url):
        assert server.poll() is None, log.read_text()
        assert time.monotonic() < deadline, "the S3 server does not answer"
        time.sleep(0.05)
    options = {"endpoint_url": url, "region_name": _REGION}
    anyone = boto3.Session("first", "first")
    iam = anyone.client("iam", **options)
    iam.create_user(UserName="levada")
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    iam.put_user_policy(UserName="levada", PolicyName="all", PolicyDocument=json.dumps(policy))
    made = iam.create_access_key(UserName="levada")["AccessKey"]
    anyone.client("s3", **options).create_bucket(Bucket=BUCKET)
    iam.close()
    return S3(url, made["AccessKeyId"], made["SecretAccessKey"])


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/moto-api/data.json", timeout=1):
            return True
    except OSError:
        return False
