"""What every change of the books is made of: transactions, and items that change their state with the counts."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from gateway.jobs.model import ItemState, Job
from gateway.jobs.records import SCHEMA, job_of

_BUSY_SECONDS = 10.0


@dataclass(frozen=True)
class Forgotten:
    """What was forgotten, so that its files can go: results as (tenant, key), and uploads by id."""

    results: Sequence[tuple[str, str]] = ()
    uploads: Sequence[str] = ()


class Books:
    """The file of the books, and the steps that changes of it have in common.

    Args:
        path: of the file; it is made where it is not there.
    """

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            OSError: it cannot be had.
        """
        try:
            self._db = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            self._db.executescript(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;" + SCHEMA
            )
        except sqlite3.Error as error:
            raise OSError(f"{path}: {error}") from error
        self._db.row_factory = sqlite3.Row

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def changing(self) -> Iterator[sqlite3.Connection]:
        """Change the books while inside: wholly, or where an exception ends it not at all."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self._db
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def let_go(self, job: str, numbers: Sequence[int]) -> Forgotten:
        """Forget the uploads that only these items of a job were to read."""
        uploads: set[str] = set()
        for number in numbers:
            rows = self._db.execute("DELETE FROM uses WHERE job = ? AND number = ? RETURNING upload", (job, number))
            uploads.update(row[0] for row in rows.fetchall())
        left = [u for u in uploads if self.one("SELECT 1 FROM uses WHERE upload = ? LIMIT 1", u) is None]
        self._db.executemany("DELETE FROM uploads WHERE id = ?", ((upload,) for upload in left))
        return Forgotten(uploads=left)

    def move(self, job: str, old: ItemState, new: ItemState, number: int | None = None, **columns: object) -> None:
        """Bring one item of a job, or all that are in `old`, into the state `new`, and the job's counts with it."""
        revision = self.revise(job)
        given = {"state": new, "revision": revision, "progress": None, **columns}
        where = "job = ? AND state = ?" + ("" if number is None else " AND number = ?")
        moved = self._db.execute(
            f"UPDATE items SET {', '.join(f'{name} = ?' for name in given)} WHERE {where}",  # noqa: S608 - our own words
            (*given.values(), job, old, *(() if number is None else (number,))),
        ).rowcount
        now = time.time()
        self._db.execute(
            f"UPDATE jobs SET {old} = {old} - ?, {new} = {new} + ? WHERE id = ?",  # noqa: S608 - our own words
            (moved, moved, job),
        )
        self._db.execute(
            "UPDATE jobs SET ended = ?, expires = ? + keep, state = iif(state = 'cancelled', state, 'done') "
            "WHERE id = ? AND waiting = 0 AND running = 0 AND ended IS NULL",
            (now, now, job),
        )

    def revise(self, job: str, number: int | None = None) -> int:
        """Return the job's next revision, and write it down of an item."""
        row = self.one("UPDATE jobs SET revision = revision + 1 WHERE id = ? RETURNING revision", job)
        revision = int(row["revision"]) if row else 0
        if number is not None:
            self._db.execute("UPDATE items SET revision = ? WHERE job = ? AND number = ?", (revision, job, number))
        return revision

    def job_as_it_is(self, job: str) -> Job:
        """Return a job that is there, whoever's it is."""
        row = self.one("SELECT * FROM jobs WHERE id = ?", job)
        assert row is not None  # noqa: S101 - written in the same transaction
        return job_of(row)

    def one(self, query: str, *values: object) -> sqlite3.Row | None:
        """Return the first row that a statement yields, if there is one."""
        return cast("sqlite3.Row | None", self._db.execute(query, values).fetchone())
