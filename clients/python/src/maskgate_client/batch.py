"""Send many pairs, save what comes back, and say how it went."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from maskgate_client.bars import bar
from maskgate_client.client import Client
from maskgate_client.errors import MaskgateError, Problem
from maskgate_client.features import PyogrioMissing
from maskgate_client.pairs import Pair
from maskgate_client.progress import Tell
from maskgate_client.scene_command import FORMS, SceneWish, is_scene, run_scene

IN_FLIGHT = 3
"""Pairs on their way at once: enough to keep a gateway busy while files are read and written."""


@dataclass(frozen=True)
class Outcome:
    """How one pair went: the files written and its buildings per class, or the error."""

    pair: Pair
    files: tuple[Path, ...] = ()
    buildings: dict[str, int] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    error: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the outcome as plain values, for one line of JSON."""
        if self.error:
            return {"name": self.pair.name, "error": self.error}
        return {
            "name": self.pair.name,
            "files": [str(path) for path in self.files],
            "buildings": self.buildings,
            "notices": list(self.notices),
        }


@dataclass(frozen=True)
class Sending:
    """How pairs are sent, and where their answers go.

    Attributes:
        client: of the gateway.
        out: folder for the answers, or of a single pair of scenes the file.
        model: None: the gateway's choice.
        version: None: the newest.
        scenes: how scenes are wanted.
    """

    client: Client
    out: Path
    model: str | None
    version: int | None
    scenes: SceneWish = field(default_factory=SceneWish)

    @property
    def one_file(self) -> bool:
        """Whether `out` is a file."""
        return self.out.suffix.lower() in FORMS

    def target(self, pair: Pair) -> Path:
        """Return the file that a pair of scenes is saved as."""
        return self.out if self.one_file else self.out / f"{pair.name}{self.scenes.ending}"


def run_pairs(sending: Sending, pairs: Sequence[Pair]) -> list[Outcome]:
    """Send `pairs`, a few at once, and save each one's answers; return the outcomes in the same order.

    A pair that fails is an outcome with an error; the others go on.
    """
    if len(pairs) == 1:
        with bar("tile") as progress:
            return [_run_pair(sending, pairs[0], progress)]
    with ThreadPoolExecutor(IN_FLIGHT) as pool, tqdm(total=len(pairs), unit="pair", disable=None) as shown:
        futures = [pool.submit(_run_pair, sending, pair) for pair in pairs]
        try:
            for _ in as_completed(futures):
                shown.update()
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        return [future.result() for future in futures]


def _run_pair(sending: Sending, pair: Pair, progress: Tell | None = None) -> Outcome:
    """Save what is said of a pair: pictures and a report of two pictures, and of GeoTIFFs what maps are made with."""
    out, model, version = sending.out, sending.model, sending.version
    try:
        if sending.one_file or is_scene(pair):
            target = sending.target(pair)
            scene, written = run_scene(
                sending.client, pair, target, sending.scenes, model=model, version=version, progress=progress
            )
            return Outcome(pair, written, scene.counts(), scene.notices)
        pre, post = pair.pre.read_bytes(), pair.post.read_bytes()
        report = sending.client.damage_report(pre, post, model=model, version=version, include=("label_map", "overlay"))
        document = json.dumps(report.document, indent=2, ensure_ascii=False) + "\n"
        pictures = {"_damage.png": report.pictures["label_map"], "_overlay.png": report.pictures["overlay"]}
        contents = {**pictures, ".json": document.encode()}
        files = tuple(out / f"{pair.name}{ending}" for ending in contents)
        for path, content in zip(files, contents.values(), strict=True):
            path.write_bytes(content)
    except (MaskgateError, OSError, PyogrioMissing) as error:
        return Outcome(pair, error=describe(error))
    return Outcome(pair, files, report.buildings(), report.notices)


def describe(error: MaskgateError | OSError | PyogrioMissing) -> str:
    """Return `error` in one line for a person, with what the operator will ask for."""
    if isinstance(error, Problem) and error.request_id:
        return f"{error} (request {error.request_id})"
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def saved(outcomes: Sequence[Outcome]) -> list[str]:
    """Return the names of the files of one pair, or of several their pattern, for a person."""
    if len(outcomes) == 1:
        return [path.name for path in outcomes[0].files]
    endings = (path.name.removeprefix(one.pair.name) for one in outcomes for path in one.files)
    return [f"NAME{ending}" for ending in dict.fromkeys(endings)]


def table(outcomes: Sequence[Outcome]) -> str:
    """Return the buildings per class of every pair that went well, and their sum, as aligned text."""
    done = [outcome for outcome in outcomes if not outcome.error]
    names = list(dict.fromkeys(name for outcome in done for name in outcome.buildings))
    rows = [["pair", "buildings", *names]]
    rows += [[o.pair.name, *_counts(names, [o])] for o in done]
    if len(done) > 1:
        rows.append(["all", *_counts(names, done)])
    return align(rows)


def _counts(names: Sequence[str], outcomes: Sequence[Outcome]) -> list[str]:
    """Return the number of buildings, and of those of each class, over `outcomes`."""
    per_class = [sum(outcome.buildings.get(name, 0) for outcome in outcomes) for name in names]
    return [str(count) for count in (sum(per_class), *per_class)]


def align(rows: Sequence[Sequence[str]]) -> str:
    """Return `rows` as text: columns as wide as their widest cell, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(c.rjust(w) if c.isdecimal() else c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)
