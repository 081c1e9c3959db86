"""What the commands share: options, folders of images, files that are saved, bars, tables, and how errors are said."""

from __future__ import annotations

import argparse
import errno
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from mimetypes import guess_extension
from pathlib import Path
from typing import Any, Never, Protocol, TypeVar

from tqdm import tqdm

from maskgate_client.client import Client
from maskgate_client.errors import MaskgateError, Problem
from maskgate_client.progress import Progress, Tell

IN_FLIGHT = 3
"""Requests on their way at once: enough to keep a gateway busy while files are read and written."""

IMAGES = (".png", ".jpg", ".jpeg")
"""Endings of images in folders."""

_ENDINGS = {"application/x-nifti": ".nii.gz", "application/geo+json": ".geojson", "application/dicom": ".dcm"}

S = TypeVar("S")
T = TypeVar("T")


class MisuseError(Exception):
    """The command line asks for what cannot be; nothing was sent."""


@dataclass(frozen=True)
class Parents:
    """Options that several commands have, as parents of their parsers."""

    remote: argparse.ArgumentParser
    model: argparse.ArgumentParser


class Found(Protocol):
    """What was found in one file and saved."""

    @property
    def name(self) -> str:
        """What it is called by."""

    @property
    def files(self) -> Sequence[Path]:
        """What was saved."""

    @property
    def notices(self) -> Sequence[str]:
        """What is to be known of it."""

    def as_json(self) -> dict[str, Any]:
        """Return it for `--json`."""

    def rows(self, *, named: bool) -> list[list[str]]:
        """Return it for people, as rows of a table whose first is the head; `named`: with its name in each."""


@dataclass(frozen=True)
class Input:
    """An image file, and the name that its results are saved under."""

    path: Path
    name: str


def number(lowest: int, highest: int) -> Callable[[str], int]:
    """Return a parser of whole numbers from `lowest` to `highest`."""

    def parse(text: str) -> int:
        if not text.isdecimal() or not lowest <= int(text) <= highest:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {lowest} to {highest}")
        return int(text)

    return parse


def share(text: str) -> float:
    """Return `text` if it is a probability between 0 and 1."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 0 and 1")
    return value


def images_in(path: Path, endings: Sequence[str] = IMAGES) -> list[Input]:
    """Return the image files that `path` names: itself, or those of a folder by their endings, in the order of names.

    Two of one stem are told apart by their endings.

    Raises:
        OSError: the folder cannot be read.
        MisuseError: there are none in it.
    """
    if not path.is_dir():
        return [Input(path, path.resolve().stem)]
    paths = sorted(each for each in path.iterdir() if each.suffix.lower() in endings and each.is_file())
    if not paths:
        raise MisuseError(f"no images in {path}: files are found by the endings {', '.join(endings)}")
    stems = Counter(each.stem for each in paths)
    return [Input(each, each.stem if stems[each.stem] == 1 else each.name) for each in paths]


def targets(out: Path, name: str, endings: Sequence[str], *, force: bool) -> list[Path]:
    """Return the files that results are to be saved as.

    Raises:
        FileExistsError: one is there, and is not to be replaced.
    """
    paths = [out / f"{name}{ending}" for ending in endings]
    for path in paths:
        if path.exists() and not force:
            raise FileExistsError(errno.EEXIST, "is there already; --force replaces it", str(path))
    return paths


def ending_of(media_type: str) -> str | None:
    """Return the ending of a file of a media type, ``.png``; None: it has none."""
    return _ENDINGS.get(media_type) or guess_extension(media_type)


def save(contents: Mapping[Path, bytes]) -> tuple[Path, ...]:
    """Write files, and the folders that they lie in; return their paths.

    Raises:
        OSError: one cannot be written.
    """
    for path, content in contents.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tuple(contents)


def text(document: Any) -> bytes:
    """Return a JSON document as a file for people."""
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def run_images(
    client: Client,
    images: Sequence[Input],
    work: Callable[[Input], Found],
    options: argparse.Namespace,
) -> int:
    """Do `work` for each image, say what was found, and return the exit code.

    Of several a few are under way at once, and one that fails does not stop the others.

    Raises:
        MaskgateError, OSError: `work` raises it for the only image.
    """
    if len(images) == 1:
        found: list[Found | str] = [work(images[0])]
    else:
        # One cheap question first: better one clear line than the same failure for every image.
        client.ready()
        found = in_flight(images, lambda image: _attempt(work, image), "image")
    done = [each for each in found if not isinstance(each, str)]
    if options.json:
        for image, each in zip(images, found, strict=True):
            line = {"name": image.name, "error": each} if isinstance(each, str) else each.as_json()
            print(json.dumps(line, ensure_ascii=False))
    elif done:
        tables = [each.rows(named=len(images) > 1) for each in done]
        print(align([tables[0][0], *(row for table in tables for row in table[1:])]))
        print(f"\nSaved in {options.out}: {', '.join(saved({each.name: each.files for each in done}))}")
    for image, each in zip(images, found, strict=True):
        if isinstance(each, str):
            fail(f"{image.name}: {each}")
        else:
            note(each.name, each.notices)
    return 0 if len(done) == len(found) else 1


def _attempt(work: Callable[[Input], Found], image: Input) -> Found | str:
    try:
        return work(image)
    except (MaskgateError, OSError, ValueError) as error:
        return describe(error)


def in_flight(items: Sequence[S], work: Callable[[S], T], unit: str) -> list[T]:
    """Return what `work` makes of each of `items`, a few at once, in their order; a bar shows how far that is."""
    with ThreadPoolExecutor(IN_FLIGHT) as pool, tqdm(total=len(items), unit=unit, disable=None) as shown:
        futures = [pool.submit(work, item) for item in items]
        try:
            for _ in as_completed(futures):
                shown.update()
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        return [future.result() for future in futures]


@contextmanager
def bar(unit: str) -> Iterator[Tell]:
    """Yield what a call takes as `progress`: a bar of the bytes sent, then one of what is done, in `unit`s.

    On a terminal only, and gone in the end.
    """
    bars = _Bars(unit)
    try:
        yield bars.show
    finally:
        bars.close()


class _Bars:
    """One bar at a time."""

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._sending = False
        self._bar: tqdm[Never] | None = None

    def show(self, step: Progress) -> None:
        """Move the bar, or begin the next."""
        bar, sending = self._bar, step.stage == "send"
        if bar is None or sending != self._sending:
            self.close()
            unit = "B" if sending else self._unit
            bar = tqdm(total=step.total, unit=unit, unit_scale=sending, disable=None, leave=False)
            self._bar, self._sending = bar, sending
        bar.total = step.total
        # Counted anew where the files are sent again.
        bar.update(step.done - bar.n)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()


def saved(files: Mapping[str, Sequence[Path]]) -> list[str]:
    """Return the names of one input's files, or of several inputs' their pattern, for a person; `files` is by name."""
    if len(files) == 1:
        return [path.name for paths in files.values() for path in paths]
    endings = (path.name.removeprefix(name) for name, paths in files.items() for path in paths)
    return [f"NAME{ending}" for ending in dict.fromkeys(endings)]


def align(rows: Sequence[Sequence[str]]) -> str:
    """Return `rows` as text: columns as wide as their widest cell, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(c.rjust(w) if c.isdecimal() else c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def describe(error: Exception) -> str:
    """Return `error` in one line for a person, with what is at fault and what the operator will ask for."""
    if isinstance(error, Problem):
        request = f"request {error.request_id}" if error.request_id else None
        places = ", ".join(filter(None, (error.pointer, request)))
        return f"{error} ({places})" if places else str(error)
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def note(name: str, notices: Sequence[str]) -> None:
    """Print notices beside what was found."""
    for notice in notices:
        print(f"maskgate: {name}: note: {notice}", file=sys.stderr)


def fail(message: str, code: int = 1) -> int:
    """Print `message` as an error and return `code`."""
    print(f"maskgate: {message}", file=sys.stderr)
    return code
