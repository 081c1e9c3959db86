"""Where jobs are left and asked for: the books and the files, from the event loop, and what is allowed to whom."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Annotated, TypeVar

from fastapi import Depends, Request

from gateway.access.keys import Caller, check_scope
from gateway.errors import JobsOff
from gateway.jobs.books import Forgotten
from gateway.jobs.files import Files
from gateway.jobs.model import Job
from gateway.jobs.store import JobStore, Order
from gateway.scheduling.threads import Threads
from gateway.settings import JobSettings, KeySettings

T = TypeVar("T")

_FILE_THREADS = 4


class Desk:
    """The jobs of a gateway, as each of its processes sees them. Lives on the event loop.

    Args:
        settings: with a folder.
        keys: what each tenant's key opens.

    Attributes:
        settings: as given.
        files: uploads and results.
        store: the books.
        woken: set where there may be something to do for whoever runs the jobs.
    """

    def __init__(self, settings: JobSettings, keys: Mapping[str, KeySettings]) -> None:
        """Open the folder.

        Raises:
            OSError: it cannot be had.
        """
        if settings.folder is None:
            raise ValueError("jobs need a folder")
        self.settings = settings
        self.files = Files(settings.folder)
        self.store = JobStore(settings.folder / "jobs.sqlite")
        self.woken = asyncio.Event()
        self._keys = keys
        self._books = Threads("job-books", 1)
        self._disk = Threads("job-files", _FILE_THREADS)

    async def books(self, function: Callable[..., T], *arguments: object) -> T:
        """Return what a method of `store` returns."""
        return await self._books.call(function, *arguments)

    async def disk(self, function: Callable[..., T], *arguments: object) -> T:
        """Return what a function that reads or writes files returns."""
        return await self._disk.call(function, *arguments)

    async def add(self, order: Order) -> tuple[Job, bool]:
        """Write down a job, and have it begun; see `JobStore.add`."""
        added = await self.books(self.store.add, order)
        self.woken.set()
        return added

    async def cancel(self, tenant: str, job: str) -> Job:
        """Let a job end as soon as can be; see `JobStore.cancel`."""
        found, left = await self.books(self.store.cancel, tenant, job)
        await self.clear(left)
        self.woken.set()
        return found

    async def upload(self, tenant: str, length: int) -> str:
        """Begin an upload of so many bytes, and return its id.

        Raises:
            JobsFull: there is no room for it.
        """
        most = self.settings.bytes
        share = self.settings.tenant_bytes or (most // 2 if len(self._keys) > 1 else most)
        expires = time.time() + self.settings.upload_seconds
        upload = await self.books(self.store.upload, tenant, length, expires, most, share)
        await self.disk(self.files.begin_upload, upload)
        return upload

    async def drop_upload(self, upload: str) -> None:
        """Forget an upload."""
        await self.books(self.store.drop_upload, upload)
        await self.disk(self.files.drop_upload, upload)

    async def clear(self, forgotten: Forgotten) -> None:
        """Delete the files of what was forgotten."""
        for tenant, key in forgotten.results:
            await self.disk(self.files.drop_result, tenant, key)
        for upload in forgotten.uploads:
            await self.disk(self.files.drop_upload, upload)

    def caller(self, tenant: str) -> Caller:
        """Return a tenant as it calls by what its key opens now; nothing, where it has none any more."""
        key = self._keys.get(tenant)
        if key is None and self._keys:
            return Caller(tenant, frozenset())
        return Caller(tenant, key.scopes if key else None)

    def keep_seconds(self, tenant: str) -> float:
        """Return how long a tenant's jobs are kept after their end."""
        key = self._keys.get(tenant)
        return (key.job_seconds if key else None) or self.settings.keep_seconds

    def close(self) -> None:
        """Let running calls end, and close the books."""
        for threads in (self._books, self._disk):
            threads.close()
        self.store.close()


async def _desk(request: Request) -> Desk:
    desk: Desk | None = request.app.state.jobs
    if desk is None:
        raise JobsOff("This gateway keeps no jobs: the setting jobs.folder names no folder.")
    return desk


InjectedDesk = Annotated[Desk, Depends(_desk)]


def check_jobs(caller: Caller, task: str | None = None) -> None:
    """Do nothing where a caller may leave jobs, of a task where one is named.

    Raises:
        Forbidden: the key lacks a scope.
    """
    for scope in ("jobs", task) if task else ("jobs",):
        check_scope(caller, scope)
