"""The books of jobs: what is next, what a crash leaves, what is forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.errors import JobNotFound, KeyReused, UploadNotFound
from gateway.jobs.model import Request, Result, Source, Wanted, is_id, new_id
from gateway.jobs.store import JobStore, Order

ASKED = Request("waste", "min_area=5", "image/png")
RESULT = Result("image/png", 10, "ab" * 32, {"Maskgate-Model": "waste-fanet"})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JobStore]:
    books = JobStore(tmp_path / "jobs.sqlite")
    yield books
    books.close()


def order(tenant: str = "one", count: int = 1, asked: str = "", key: str | None = None, upload: str = "") -> Order:
    sources = {"image": Source("upload", upload) if upload else Source("text", "{}")}
    return Order(
        tenant, ASKED, [Wanted(sources, f"n{number}", f"n={number}") for number in range(count)], 60, asked, key
    )


def test_what_is_written_is_read_by_another_process(store: JobStore, tmp_path: Path) -> None:
    job, new = store.add(order(count=3))
    assert new
    assert is_id(job.id)
    other = JobStore(tmp_path / "jobs.sqlite")
    read = other.job("one", job.id)
    assert (read.request, read.state, read.total, read.counts["waiting"]) == (ASKED, "queued", 3, 3)
    assert [(item.name, item.query) for item in other.items(job.id, 1, 5)] == [("n1", "n=1"), ("n2", "n=2")]
    assert other.items(job.id, 0, 1)[0].sources == {"image": Source("text", "{}")}
    other.close()


def test_a_job_is_of_one_tenant(store: JobStore) -> None:
    job, _ = store.add(order("one"))
    assert store.jobs("two", 5) == []
    with pytest.raises(JobNotFound):
        store.job("two", job.id)
    with pytest.raises(JobNotFound):
        store.cancel("two", job.id)
    with pytest.raises(JobNotFound):
        store.forget("two", job.id)


def test_a_key_stands_for_one_request_of_one_tenant(store: JobStore) -> None:
    first, _ = store.add(order(asked="a", key="k"))
    again, new = store.add(order(asked="a", key="k"))
    assert (again.id, new) == (first.id, False)
    assert store.add(order("two", asked="b", key="k"))[1]
    with pytest.raises(KeyReused):
        store.add(order(asked="b", key="k"))
    assert store.add(order(asked="a"))[1], "without a key each is another"


def test_tenants_take_turns_however_many_items_one_has(store: JobStore) -> None:
    store.add(order("one", 4))
    store.add(order("one", 4))
    store.add(order("two", 2))
    claimed = [store.claim() for _ in range(10)]
    tenants = [found[0].tenant for found in claimed if found]
    assert tenants[:4] in (["one", "two"] * 2, ["two", "one"] * 2)
    assert tenants[4:] == ["one"] * 6
    ones = [(found[0].id, found[1].number) for found in claimed if found and found[0].tenant == "one"]
    assert [number for _, number in ones] == [0, 1, 2, 3] * 2, "one job after the other"
    assert store.claim() is None


def test_items_that_nobody_works_on_wait_again_until_they_were_tried_enough(store: JobStore) -> None:
    job, _ = store.add(order(count=2))
    for tries in (1, 2, 3):
        claimed = store.claim()
        assert claimed
        assert (claimed[1].number, claimed[1].tries) == (0, tries)
        store.recover(3)
    lost, waiting = store.items(job.id, 0, 2)
    assert (lost.state, waiting.state) == ("failed", "waiting")
    assert lost.problem
    assert lost.problem["code"] == "item-lost"
    claimed = store.claim()
    assert claimed
    store.recover(3, [(job.id, claimed[1].number)])
    assert store.items(job.id, 1, 1)[0].state == "running", "this one is worked on"


def test_what_is_released_counts_as_not_begun(store: JobStore) -> None:
    job, _ = store.add(order())
    claimed = store.claim()
    assert claimed
    store.released(claimed[1])
    item = store.items(job.id, 0, 1)[0]
    assert (item.state, item.tries) == ("waiting", 0)


def test_a_job_ends_with_its_last_item(store: JobStore) -> None:
    job, _ = store.add(order(count=3))
    items = [found[1] for _ in range(3) if (found := store.claim())]
    store.done(items[0], RESULT)
    store.failed(items[1], {"code": "x"})
    assert store.job("one", job.id).ended is None
    store.done(items[2], RESULT)
    end = store.job("one", job.id)
    assert (end.state, end.counts["done"], end.counts["failed"], end.total) == ("done", 2, 1, 3)
    assert end.ended is not None
    assert end.expires == pytest.approx(end.ended + 60)
    assert store.items(job.id, 0, 1)[0].result == RESULT


def test_a_cancelled_job_ends_when_what_runs_has(store: JobStore) -> None:
    job, _ = store.add(order(count=3))
    claimed = store.claim()
    assert claimed
    told, _ = store.cancel("one", job.id)
    assert (told.state, told.ended, told.counts["cancelled"], told.counts["running"]) == ("cancelled", None, 2, 1)
    assert store.claim() is None
    assert store.unwanted() == {(job.id, 0)}
    store.stopped(claimed[1])
    end = store.job("one", job.id)
    assert (end.state, end.counts["cancelled"]) == ("cancelled", 3)
    assert end.ended is not None
    store.cancel("one", job.id)
    assert store.job("one", job.id) == end, "what has ended ends no more"


def test_a_cancelled_item_of_a_dead_process_is_not_begun_again(store: JobStore) -> None:
    job, _ = store.add(order())
    store.claim()
    store.cancel("one", job.id)
    store.recover(5)
    assert store.job("one", job.id).counts["cancelled"] == 1


def test_changes_are_told_once_each_in_pieces_of_any_size(store: JobStore) -> None:
    job, _ = store.add(order(count=5))
    claimed = store.claim()
    assert claimed
    store.advanced({(job.id, 0): {"stage": "infer", "done": 1, "total": 2}})
    before = store.job("one", job.id).revision
    store.advanced({(job.id, 0): {"stage": "infer", "done": 1, "total": 2}})
    assert store.job("one", job.id).revision == before, "nothing changed"
    store.cancel("one", job.id)
    told, cursor = [], (0, -1)
    while found := store.changes(job.id, cursor, 2):
        told += [item.number for item in found]
        cursor = found[-1].revision, found[-1].number
    assert sorted(told) == [0, 1, 2, 3, 4]
    store.stopped(claimed[1])
    assert [item.number for item in store.changes(job.id, cursor, 2)] == [0]


def test_an_upload_is_let_go_with_the_last_item_that_names_it(store: JobStore) -> None:
    upload = store.upload("one", 5, 0.0, 100, 100)
    store.add(order(upload=upload, count=2))
    first, second = (found[1] for _ in range(2) if (found := store.claim()))
    assert list(store.sweep().uploads) == [], "its time is over, but two items are to read it"
    assert list(store.done(first, RESULT).uploads) == []
    assert list(store.failed(second, {}).uploads) == [upload]
    with pytest.raises(UploadNotFound):
        store.upload_of("one", upload)


def test_an_upload_of_another_is_none(store: JobStore) -> None:
    upload = store.upload("two", 5, 0.0, 100, 100)
    with pytest.raises(UploadNotFound):
        store.add(order("one", upload=upload))
    assert store.jobs("one", 5) == [], "nothing of the job was kept"
    with pytest.raises(UploadNotFound):
        store.upload_of("one", new_id())


def test_unused_uploads_and_jobs_are_forgotten_after_their_time(store: JobStore) -> None:
    old, kept = store.upload("one", 5, 0.0, 100, 100), store.upload("one", 5, 9e9, 100, 100)
    over, _ = store.add(Order("one", ASKED, [Wanted({})], -1, ""))
    lasting, _ = store.add(order())
    for _ in range(2):
        claimed = store.claim()
        assert claimed
        store.keyed(claimed[1], "shared")
        store.done(claimed[1], RESULT)
    forgotten = store.sweep()
    assert (list(forgotten.uploads), list(forgotten.results)) == ([old], []), "the other job has the same result"
    assert [job.id for job in store.jobs("one", 5)] == [lasting.id]
    assert store.upload_of("one", kept)[0] == 5
    assert list(store.forget("one", lasting.id).results) == [("one", "shared")]
    assert over.id != lasting.id
