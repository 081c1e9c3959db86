"""What gateway and workers hand each other: inputs, results and what became of items, in a bucket of S3.

    jobs/<job>/chunk/<chunk>.json         the items of a chunk
    jobs/<job>/input/<upload>             an upload that some of them are about
    jobs/<job>/done/<chunk>/<number>.json what became of one
    jobs/<job>/result/<key>.json          a result; its body is jobs/<job>/result/<digest>

What is written here is never written again: S3 refuses it (`If-None-Match: *`), and the first one stays. All of a job
is deleted once the gateway has fetched it.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.jobs.files import new_file
from gateway.jobs.model import Result

if TYPE_CHECKING:
    from obstore.store import S3Store

_PIECE = 1 << 20


class Objects:
    """A bucket, or a path in one.

    Every method raises OSError or `obstore.exceptions.BaseError` where S3 is away.

    Args:
        address: ``s3://bucket/path/``; the variables of the AWS tools say the rest.
    """

    def __init__(self, address: str) -> None:
        """Connect to nothing yet."""
        from obstore.store import S3Store

        bucket, _, path = address.removeprefix("s3://").partition("/")
        self._store: S3Store = S3Store(bucket, prefix=path.rstrip("/") or None)

    async def put(self, name: str, content: bytes | Path) -> bool:
        """Write an object unless it is there; return whether it was not."""
        from obstore.exceptions import AlreadyExistsError

        try:
            await self._store.put_async(name, content, mode="create")
        except AlreadyExistsError:
            return False
        return True

    async def document(self, name: str) -> dict[str, Any] | None:
        """Return an object that is JSON, if it is there."""
        try:
            found = await self._store.get_async(name)
        except FileNotFoundError:
            return None
        document: dict[str, Any] = json.loads(bytes(await found.bytes_async()))
        return document

    async def fetch(self, name: str, into: Path) -> None:
        """Write an object to a file.

        Raises:
            FileNotFoundError: it is not there.
        """
        found = await self._store.get_async(name)
        with new_file(into) as file:
            async for piece in found.stream(_PIECE):
                file.write(bytes(piece))

    async def names(self, path: str) -> list[str]:
        """Return the names of the objects below a path."""
        return [entry["path"] async for page in self._store.list(path) for entry in page]

    async def drop(self, *names: str) -> None:
        """Delete objects, those that are there."""
        for name in names:
            try:
                await self._store.delete_async(name)
            except FileNotFoundError:
                continue

    async def result(self, job: str, key: str) -> Result | None:
        """Return the result of a key, if it is there."""
        document = await self.document(f"jobs/{job}/result/{key}.json")
        return Result(**document) if document else None

    async def keep(self, job: str, key: str, result: Result, body: Path) -> Result:
        """Keep a result unless there is one; return that which is kept."""
        await self.put(f"jobs/{job}/result/{result.digest}", body)
        if await self.put(f"jobs/{job}/result/{key}.json", json.dumps(asdict(result)).encode()):
            return result
        return await self.result(job, key) or result

    async def body(self, job: str, result: Result, into: Path) -> None:
        """Write the body of a result to a file."""
        await self.fetch(f"jobs/{job}/result/{result.digest}", into)


def input_of(job: str, upload: str) -> str:
    """Return the name of an upload's object."""
    return f"jobs/{job}/input/{upload}"


def chunk_of(job: str, chunk: int) -> str:
    """Return the name of the object that says what the items of a chunk are."""
    return f"jobs/{job}/chunk/{chunk}.json"


def done_of(job: str, chunk: int, number: int | None = None) -> str:
    """Return the name of the object that says what became of an item; without a number, the path of a chunk's."""
    return f"jobs/{job}/done/{chunk}/" + ("" if number is None else f"{number}.json")
