"""What callers see stays what it is: API, metrics, problems, commands, client, and the answers of every task.

The stored documents beside this file change on purpose alone, in a commit of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.frozen.collection import DOCUMENTS, Seen, seeing
from tests.support.frozen.commands import normalised
from tests.support.frozen.documents import FOLDER, RENEW, difference, settled


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """Return what documents are found in."""
    with seeing(tmp_path_factory.mktemp("models")) as found:
        yield found


@pytest.mark.processors
@pytest.mark.parametrize("name", DOCUMENTS)
def test_callers_see_what_they_saw(seen: Seen, name: str) -> None:
    differs = difference(name, DOCUMENTS[name](seen))
    assert not differs, f"{differs}\n\nOn purpose? Then `{RENEW} {name}`, in a commit of its own."


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("  -o OUT, --out OUT  where to", "  -o, --out OUT  where to"),
        ("  --go, --no-go\n                 go on (default: True)", "  --go, --no-go  go on"),
        ("usage: it [-h]\n\noptions:\n", "usage: it [-h]\n\n\noptions:"),
    ],
)
def test_every_python_says_the_same_help(older: str, newer: str) -> None:
    assert normalised(older) == normalised(newer)


@pytest.mark.parametrize(
    ("found", "stored", "same"),
    [
        ({"share": 0.500001}, {"share": 0.5}, True),
        ({"share": 0.501}, {"share": 0.5}, False),
        ({"coordinates": [[-94.5000001, 37.0]]}, {"coordinates": [[-94.5, 37.0]]}, True),
        ({"coordinates": [[-94.500001, 37.0]]}, {"coordinates": [[-94.5, 37.0]]}, False),
        ({"about": [[60.4]]}, {"about": [[60.0]]}, True),
        ({"pixels": 61}, {"pixels": 60}, False),
        ({"few": [1.0]}, {"few": [1.0, 2.0]}, False),
        ({"more": [1.0, 2.0]}, {"more": [1.0]}, False),
        ({}, {"gone": 1.0}, False),
    ],
)
def test_floats_alone_may_differ_and_by_little(found: Any, stored: Any, same: bool) -> None:
    assert (settled(found, stored) == stored) is same


def test_nothing_is_stored_that_is_not_compared() -> None:
    assert sorted(path.stem for path in FOLDER.iterdir()) == sorted(DOCUMENTS)
