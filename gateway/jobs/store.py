"""The books of jobs, items and uploads, in SQLite: what is written here survives the process, however it ends.

Several processes of one gateway share the file. Every change is one transaction, and raises the job's revision, by
which whoever follows a job sees what changed.

Why sqlite3 and not aiosqlite: the calls take a fraction of a millisecond and one thread makes them all, so the library
would add a thread and a queue to the one that is there (`gateway/jobs/desk.py`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from gateway.errors import ItemLost, JobNotFound, JobsFull, KeyReused, UploadNotFound
from gateway.jobs.books import Books, Forgotten
from gateway.jobs.model import Item, ItemState, Job, Request, Result, Wanted, new_id
from gateway.jobs.records import item_of, job_of, problem_of, written


@dataclass(frozen=True)
class Order:
    """A job that is to be.

    Attributes:
        tenant: whose it is.
        request: what is asked of each item.
        items: in order.
        keep: seconds that it is kept after its end.
        asked: digest of all that the caller sent.
        idempotency: the key by which the caller may ask for the same job again; None: there is none.
    """

    tenant: str
    request: Request
    items: Sequence[Wanted]
    keep: float
    asked: str
    idempotency: str | None = None

    @property
    def as_kept(self) -> tuple[object, ...]:
        """What is written down of it as it is."""
        return self.keep, self.idempotency, self.asked


class JobStore(Books):
    """Jobs, their items, and uploads. Every method is one transaction, and blocks; one thread calls them all."""

    # Jobs

    def add(self, order: Order) -> tuple[Job, bool]:
        """Write down a job; return it, and whether it is new and not the one that its idempotency key stood for.

        Raises:
            KeyReused: the key stood for a job that was asked for otherwise.
            UploadNotFound: it names an upload that the tenant does not have.
        """
        with self.changing() as db:
            known = self.known(order.tenant, order.idempotency, order.asked)
            if known is not None:
                return known, False
            job, request, now = new_id(), order.request, time.time()
            db.execute(
                "INSERT INTO jobs (id, tenant, task, query, accept, state, waiting, created, keep, idempotency, asked) "
                "VALUES (?, ?, ?, ?, ?, 'queued', ?, ?, ?, ?, ?)",
                (job, order.tenant, *vars(request).values(), len(order.items), now, *order.as_kept),
            )
            db.executemany(
                "INSERT INTO items (job, number, name, sources, query) VALUES (?, ?, ?, ?, ?)",
                (
                    (job, number, item.name, written(item.sources), item.query)
                    for number, item in enumerate(order.items)
                ),
            )
            uses = {
                (source.value, number)
                for number, item in enumerate(order.items)
                for source in item.sources.values()
                if source.kind == "upload"
            }
            for upload in {upload for upload, _ in uses}:
                self._length_of(order.tenant, upload)
            db.executemany("INSERT INTO uses VALUES (?, ?, ?)", ((upload, job, number) for upload, number in uses))
            return self.job_as_it_is(job), True

    def known(self, tenant: str, idempotency: str | None, asked: str) -> Job | None:
        """Return the job that an idempotency key stands for, if it does.

        Raises:
            KeyReused: it was asked for otherwise.
        """
        row = self.one("SELECT * FROM jobs WHERE tenant = ? AND idempotency = ?", tenant, idempotency)
        if row is None:
            return None
        if row["asked"] != asked:
            raise KeyReused("This Idempotency-Key stood for another job before.", pointer="/Idempotency-Key")
        return job_of(row)

    def job(self, tenant: str, job: str) -> Job:
        """Return a tenant's job.

        Raises:
            JobNotFound: it has none of that id. That another has one shows in nothing.
        """
        row = self.one("SELECT * FROM jobs WHERE id = ? AND tenant = ?", job, tenant)
        if row is None:
            raise JobNotFound("No job of that id is kept for this key.")
        return job_of(row)

    def jobs(self, tenant: str, count: int) -> list[Job]:
        """Return a tenant's newest jobs, the newest first."""
        rows = self._db.execute("SELECT * FROM jobs WHERE tenant = ? ORDER BY created DESC LIMIT ?", (tenant, count))
        return [job_of(row) for row in rows]

    def items(self, job: str, first: int, count: int) -> list[Item]:
        """Return items of a job from number `first` on."""
        rows = self._db.execute(
            "SELECT * FROM items WHERE job = ? AND number >= ? ORDER BY number LIMIT ?", (job, first, count)
        )
        return [item_of(row) for row in rows]

    def changes(self, job: str, after: tuple[int, int], count: int) -> list[Item]:
        """Return the items that changed last after a revision and a number, in the order in which they did."""
        rows = self._db.execute(
            "SELECT * FROM items WHERE job = ? AND (revision, number) > (?, ?) ORDER BY revision, number LIMIT ?",
            (job, *after, count),
        )
        return [item_of(row) for row in rows]

    def cancel(self, tenant: str, job: str) -> tuple[Job, Forgotten]:
        """Let no item of a job begin any more; return it as it is then, and the uploads that nobody needs any more.

        Raises:
            JobNotFound: as `job`.
        """
        with self.changing() as db:
            if self.job(tenant, job).ended is not None:
                return self.job_as_it_is(job), Forgotten()
            db.execute("UPDATE jobs SET state = 'cancelled' WHERE id = ?", (job,))
            waiting = db.execute("SELECT number FROM items WHERE job = ? AND state = 'waiting'", (job,)).fetchall()
            left = self.let_go(job, [row[0] for row in waiting])
            self.move(job, "waiting", "cancelled")
            return self.job_as_it_is(job), left

    def forget(self, tenant: str, job: str) -> Forgotten:
        """Forget a job that has ended; results that no other job of the tenant shares, and uploads, go with it.

        Raises:
            JobNotFound: as `job`.
        """
        with self.changing() as db:
            self.job(tenant, job)
            keys = [row[0] for row in db.execute("SELECT DISTINCT key FROM items WHERE job = ? AND key != ''", (job,))]
            db.execute("DELETE FROM jobs WHERE id = ?", (job,))
            shared = "SELECT 1 FROM items JOIN jobs ON id = job WHERE key = ? AND tenant = ? LIMIT 1"
            gone = [(tenant, key) for key in keys if self.one(shared, key, tenant) is None]
        return Forgotten(gone)

    def sweep(self) -> Forgotten:
        """Forget the jobs whose time is over, and the uploads whose time is and that no item is to read."""
        now = time.time()
        over = self._db.execute("SELECT tenant, id FROM jobs WHERE expires < ?", (now,)).fetchall()
        results = [gone for tenant, job in over for gone in self.forget(tenant, job).results]
        with self.changing() as db:
            unused = "expires < ? AND NOT EXISTS (SELECT 1 FROM uses WHERE upload = id)"
            uploads = [row[0] for row in db.execute(f"SELECT id FROM uploads WHERE {unused}", (now,))]  # noqa: S608
            db.executemany("DELETE FROM uploads WHERE id = ?", ((upload,) for upload in uploads))
        return Forgotten(results, uploads)

    # Items, by who works on them

    def recover(self, tries: int, running: Iterable[tuple[str, int]] = ()) -> None:
        """Let items wait again that nobody works on: not `running`, and yet written down as such.

        Those that were begun `tries` times fail: whoever works on them does not live to tell why.
        """
        kept = set(running)
        lost = ItemLost("The gateway ended each time while it worked on this item.")
        with self.changing() as db:
            rows = db.execute("SELECT job, number, tries FROM items WHERE state = 'running'").fetchall()
            for job, number, begun in rows:
                if (job, number) in kept:
                    continue
                if self.job_as_it_is(job).state == "cancelled":
                    self.move(job, "running", "cancelled", number)
                elif begun >= tries:
                    self.move(job, "running", "failed", number, problem=json.dumps(problem_of(lost)))
                else:
                    self.move(job, "running", "waiting", number)

    def claim(self) -> tuple[Job, Item] | None:
        """Return the item that is next, which runs from now on. Tenants take turns; jobs of one follow each other."""
        with self.changing() as db:
            row = self.one(
                "SELECT id FROM jobs WHERE waiting > 0 AND tenant = (SELECT tenant FROM jobs WHERE waiting > 0 "
                "GROUP BY tenant ORDER BY MAX(served) LIMIT 1) ORDER BY created, id LIMIT 1"
            )
            if row is None:
                return None
            job, now = row["id"], time.time()
            number = db.execute(
                "SELECT number FROM items WHERE job = ? AND state = 'waiting' ORDER BY number LIMIT 1", (job,)
            ).fetchone()[0]
            db.execute("UPDATE items SET tries = tries + 1 WHERE job = ? AND number = ?", (job, number))
            db.execute(
                "UPDATE jobs SET state = 'running', served = ?, started = coalesce(started, ?) WHERE id = ?",
                (now, now, job),
            )
            self.move(job, "waiting", "running", number)
            return self.job_as_it_is(job), self.items(job, number, 1)[0]

    def keyed(self, item: Item, key: str) -> None:
        """Write down the key of an item's result, so that the result is kept as long as the job."""
        with self.changing() as db:
            db.execute("UPDATE items SET key = ? WHERE job = ? AND number = ?", (key, item.job, item.number))

    def done(self, item: Item, result: Result) -> Forgotten:
        """Write down that a running item is done; return the uploads that nobody needs any more."""
        return self._end(item, "done", size=result.size, result=json.dumps(asdict(result)))

    def failed(self, item: Item, problem: Mapping[str, Any]) -> Forgotten:
        """Write down that a running item failed; return the uploads that nobody needs any more."""
        return self._end(item, "failed", problem=json.dumps(problem))

    def stopped(self, item: Item) -> Forgotten:
        """Write down that a running item was given up, since its job was cancelled; return as `done`."""
        return self._end(item, "cancelled")

    def released(self, item: Item) -> None:
        """Let a running item wait again, as if it had not been begun."""
        with self.changing() as db:
            db.execute("UPDATE items SET tries = tries - 1 WHERE job = ? AND number = ?", (item.job, item.number))
            self.move(item.job, "running", "waiting", item.number)

    def advanced(self, progress: Mapping[tuple[str, int], Mapping[str, Any]]) -> None:
        """Write down how far running items are."""
        with self.changing() as db:
            for (job, number), said in progress.items():
                text = json.dumps(said)
                changed = db.execute(
                    "UPDATE items SET progress = ? WHERE job = ? AND number = ? AND state = 'running' "
                    "AND progress IS NOT ?",
                    (text, job, number, text),
                )
                if changed.rowcount:
                    self.revise(job, number)

    def unwanted(self) -> set[tuple[str, int]]:
        """Return job and number of the items that run though their job is cancelled."""
        rows = self._db.execute(
            "SELECT job, number FROM items JOIN jobs ON id = job WHERE items.state = 'running' "
            "AND jobs.state = 'cancelled'"
        )
        return {(row[0], row[1]) for row in rows}

    def waiting(self) -> int:
        """Return how many items wait, of all jobs."""
        row = self.one("SELECT coalesce(sum(waiting), 0) FROM jobs WHERE waiting > 0")
        return int(row[0]) if row else 0

    def open_jobs(self) -> list[Job]:
        """Return all jobs that have not ended, the oldest first."""
        rows = self._db.execute("SELECT * FROM jobs WHERE ended IS NULL ORDER BY created")
        return [job_of(row) for row in rows]

    def open_items(self, job: str) -> list[Item]:
        """Return the items of a job that have not ended."""
        rows = self._db.execute(
            "SELECT * FROM items WHERE job = ? AND state IN ('waiting', 'running') ORDER BY number", (job,)
        )
        return [item_of(row) for row in rows]

    def begun(self, job: str, tries: Mapping[int, int]) -> None:
        """Write down which items of a job others work on now, and how often they have begun them."""
        with self.changing() as db:
            for number, count in tries.items():
                where = (count, job, number)
                db.execute("UPDATE items SET tries = ? WHERE job = ? AND number = ? AND state = 'waiting'", where)
                self.move(job, "waiting", "running", number)
            db.execute(
                "UPDATE jobs SET state = iif(state = 'queued', 'running', state), started = coalesce(started, ?) "
                "WHERE id = ?",
                (time.time(), job),
            )

    # Uploads

    def upload(self, tenant: str, length: int, expires: float, most: int, tenants_most: int) -> str:
        """Write down an upload of `length` bytes, and return its id.

        Raises:
            JobsFull: with it, uploads and results would be more than `most`, or the tenant's than `tenants_most`.
        """
        with self.changing() as db:
            held = {row["tenant"]: row["bytes"] for row in db.execute(
                "SELECT tenant, sum(bytes) AS bytes FROM (SELECT tenant, length AS bytes FROM uploads UNION ALL "
                "SELECT tenant, size FROM items JOIN jobs ON id = job WHERE size > 0) GROUP BY tenant"
            )}  # fmt: skip
            if held.get(tenant, 0) + length > tenants_most or sum(held.values()) + length > most:
                raise JobsFull("Uploads and results of jobs leave no room for so many bytes.", retry_after=60)
            upload = new_id()
            db.execute("INSERT INTO uploads VALUES (?, ?, ?, ?)", (upload, tenant, length, expires))
            return upload

    def upload_of(self, tenant: str, upload: str) -> tuple[int, float, bool]:
        """Return the whole length of a tenant's upload, when it expires, and whether a job is to read it.

        Raises:
            UploadNotFound: it has none of that id.
        """
        length = self._length_of(tenant, upload)
        row = self.one("SELECT expires FROM uploads WHERE id = ?", upload)
        used = self.one("SELECT 1 FROM uses WHERE upload = ? LIMIT 1", upload) is not None
        return length, row["expires"] if row else 0.0, used

    def drop_upload(self, upload: str) -> None:
        """Forget an upload."""
        with self.changing() as db:
            db.execute("DELETE FROM uploads WHERE id = ?", (upload,))

    # What some of them share

    def _end(self, item: Item, state: ItemState, **columns: object) -> Forgotten:
        with self.changing():
            left = self.let_go(item.job, [item.number])
            self.move(item.job, item.state, state, item.number, **columns)
        return left

    def _length_of(self, tenant: str, upload: str) -> int:
        row = self.one("SELECT length FROM uploads WHERE id = ? AND tenant = ?", upload, tenant)
        if row is None:
            raise UploadNotFound("No upload of that id is kept for this key.")
        return int(row["length"])
