"""Which files of the gateway one request runs through: `python -m tests.support.count_files` prints them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

import gateway
from gateway.app import create_app
from gateway.settings import Settings
from tests.support.app_client import running
from tests.support.pictures import encode, noise
from tests.support.trivial import write_trivial_model

_ROOT = str(Path(gateway.__file__).parent)


def files_of_a_damage_request(models: Path) -> set[str]:
    """Return the files that a pair of PNG images of 512² pixels, answered as PNG, runs through.

    Args:
        models: an empty folder for the repository.
    """
    write_trivial_model(models, tile=256)
    image = encode(noise(512, 512))
    settings = Settings.model_validate({"models": {"repository": models, "damage": "trivial"}})
    with _files_run() as seen, running(create_app(settings)) as client:
        for _ in range(2):
            # What runs once alone, at the first request, is not counted.
            seen.clear()
            assert client.post("/v1/damage", files={"pre": image, "post": image}).status_code == 200
        return set(seen)


@contextmanager
def _files_run() -> Iterator[set[str]]:
    """Gather the files whose functions are called until the context ends, in this thread and those begun inside."""
    seen: set[str] = set()

    def note(frame: FrameType, event: str, argument: Any) -> None:
        path = frame.f_code.co_filename
        if event == "call" and path.startswith(_ROOT):
            seen.add(path[len(_ROOT) + 1 :])

    before = sys.getprofile()
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield seen
    finally:
        sys.setprofile(before)
        threading.setprofile(before)


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        files = sorted(files_of_a_damage_request(Path(folder)))
    print(*files, f"{len(files)} files", sep="\n")
