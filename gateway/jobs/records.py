"""How jobs are written down: the tables, and what their rows mean."""

from __future__ import annotations

import json
import sqlite3
from typing import Any, cast

from gateway.errors import MaskgateError
from gateway.jobs.model import ITEM_STATES, Item, Job, Request, Result, Source, Sources

SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
  id TEXT PRIMARY KEY, tenant TEXT NOT NULL, task TEXT NOT NULL, query TEXT NOT NULL, accept TEXT NOT NULL,
  state TEXT NOT NULL, waiting INTEGER NOT NULL, running INTEGER NOT NULL DEFAULT 0, done INTEGER NOT NULL DEFAULT 0,
  failed INTEGER NOT NULL DEFAULT 0, cancelled INTEGER NOT NULL DEFAULT 0, created REAL NOT NULL, started REAL,
  ended REAL, expires REAL, keep REAL NOT NULL, served REAL NOT NULL DEFAULT 0, revision INTEGER NOT NULL DEFAULT 0,
  idempotency TEXT, asked TEXT NOT NULL, UNIQUE (tenant, idempotency)
);
CREATE INDEX IF NOT EXISTS jobs_waiting ON jobs (tenant, created) WHERE waiting > 0;
CREATE TABLE IF NOT EXISTS items (
  job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, number INTEGER NOT NULL, name TEXT NOT NULL,
  sources TEXT NOT NULL, query TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'waiting', tries INTEGER NOT NULL DEFAULT 0,
  revision INTEGER NOT NULL DEFAULT 0, key TEXT NOT NULL DEFAULT '', size INTEGER NOT NULL DEFAULT 0, result TEXT,
  problem TEXT, progress TEXT, PRIMARY KEY (job, number)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS items_changed ON items (job, revision, number);
CREATE INDEX IF NOT EXISTS items_open ON items (state, job, number) WHERE state IN ('waiting', 'running');
CREATE INDEX IF NOT EXISTS items_key ON items (key) WHERE key != '';
CREATE TABLE IF NOT EXISTS uploads (
  id TEXT PRIMARY KEY, tenant TEXT NOT NULL, length INTEGER NOT NULL, expires REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS uses (
  upload TEXT NOT NULL REFERENCES uploads (id) ON DELETE CASCADE, job TEXT NOT NULL, number INTEGER NOT NULL,
  PRIMARY KEY (upload, job, number)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS uses_of_items ON uses (job, number);
"""
"""Times are seconds since the epoch. Counts stand beside their job: nobody counts ten thousand items to show one."""


def job_of(row: sqlite3.Row) -> Job:
    """Return the job that a row of `jobs` is."""
    return Job(
        id=row["id"],
        tenant=row["tenant"],
        request=Request(row["task"], row["query"], row["accept"]),
        state=row["state"],
        counts={state: row[state] for state in ITEM_STATES},
        created=row["created"],
        started=row["started"],
        ended=row["ended"],
        expires=row["expires"],
        revision=row["revision"],
    )


def item_of(row: sqlite3.Row) -> Item:
    """Return the item that a row of `items` is."""
    return Item(
        job=row["job"],
        number=row["number"],
        name=row["name"],
        state=row["state"],
        sources={part: Source(kind, value) for part, (kind, value) in json.loads(row["sources"]).items()},
        query=row["query"],
        tries=row["tries"],
        revision=row["revision"],
        key=row["key"],
        result=Result(**_read(row["result"])) if row["result"] else None,
        problem=_read(row["problem"]) or None,
        progress=_read(row["progress"]) or None,
    )


def written(sources: Sources) -> str:
    """Return how the sources of an item stand in its row."""
    return json.dumps({part: [source.kind, source.value] for part, source in sources.items()})


def problem_of(error: MaskgateError) -> dict[str, Any]:
    """Return what is kept of an error: the members of a problem document that say something of an item."""
    document = {
        "type": f"/problems/{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
        "retryable": error.retryable,
    }
    if error.pointer is not None:
        document["errors"] = [{"pointer": error.pointer, "detail": error.detail}]
    return document


def _read(text: str | None) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(text)) if text else {}
