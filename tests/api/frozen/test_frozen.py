"""What callers see stays what it is: API, metrics, problems, commands, client, and the answers of every task.

The stored documents beside this file change on purpose alone, in a commit of its own.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.frozen.collection import DOCUMENTS, Seen, seeing
from tests.support.frozen.documents import FOLDER, RENEW, difference


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """Return what documents are found in."""
    with seeing(tmp_path_factory.mktemp("models")) as found:
        yield found


@pytest.mark.parametrize("name", DOCUMENTS)
def test_callers_see_what_they_saw(seen: Seen, name: str) -> None:
    differs = difference(name, DOCUMENTS[name](seen))
    assert not differs, f"{differs}\n\nOn purpose? Then `{RENEW} {name}`, in a commit of its own."


def test_nothing_is_stored_that_is_not_compared() -> None:
    assert sorted(path.stem for path in FOLDER.iterdir()) == sorted(DOCUMENTS)
