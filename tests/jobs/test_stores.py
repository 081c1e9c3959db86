"""Inputs from a real S3: whole, by ranges, and never of two versions."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from gateway.errors import InputUnreachable
from gateway.scheduling.threads import Threads
from gateway.stores.access import fetch
from gateway.stores.ranges import HEAD_BYTES, Allowance, Stores
from tests.support.s3_server import BUCKET, s3_server


@pytest.mark.e2e
def test_s3_gives_out_ranges_of_one_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    obstore = pytest.importorskip("obstore", reason="the extra `jobs` is not installed")
    content = random.Random(1).randbytes(300_000)
    (tmp_path / "s3").mkdir()
    with s3_server(tmp_path / "s3") as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        bucket = obstore.store.S3Store(BUCKET)
        obstore.put(bucket, "in/a+b/scene.tif", content)

        async def read() -> None:
            stores = Stores([f"s3://{BUCKET}/in/"], Threads("store", 1))
            address = f"s3://{BUCKET}/in/a+b/scene.tif"
            file = await stores.open(address, Allowance(1 << 20, lambda _: None))
            assert (file.length, file.head) == (len(content), content[:HEAD_BYTES])
            ranges = [(100_000, 100_001), (200_000, 300_000), (65_536, 99_999)]
            assert await file.parts(ranges) == [content[start:stop] for start, stop in ranges]
            await fetch(stores.allowed, address, tmp_path / "whole", len(content))
            assert (tmp_path / "whole").read_bytes() == content
            with pytest.raises(InputUnreachable, match="does not have"):
                await stores.open(f"s3://{BUCKET}/in/none.tif", Allowance(1 << 20, lambda _: None))
            obstore.put(bucket, "in/a+b/scene.tif", content[::-1])
            with pytest.raises(InputUnreachable, match="changed"):
                await file.parts([(0, 10)])
            await stores.close()

        asyncio.run(read())
