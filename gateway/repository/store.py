"""The model repository on disk: what can be served from it, and what is wrong with the rest."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from gateway.registry import Registry
from gateway.repository.card import Card, read_card
from gateway.repository.config import ConfigUnreadable, contradictions, read_config


@dataclass(frozen=True)
class StoredModel:
    """One model folder whose card, configuration, labels and files agree.

    `versions` maps each version number to its model file, ascending.
    """

    card: Card
    directory: Path
    versions: Mapping[int, Path]

    @property
    def name(self) -> str:
        """Name of the model and of its folder."""
        return self.card.name

    @property
    def newest(self) -> int:
        """The highest version number."""
        return max(self.versions)

    @property
    def digest(self) -> str:
        """Digest of the newest version's file, ``sha256:<hex>``."""
        return self.card.digests[str(self.newest)]


@dataclass(frozen=True)
class Fault:
    """Why the folder `model` is not served, in one sentence for an operator."""

    model: str
    reason: str


@dataclass(frozen=True)
class Repository:
    """The models that can be served, by name in alphabetical order, and the folders that cannot."""

    models: Mapping[str, StoredModel] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()

    def without(self, names: Collection[str]) -> Repository:
        """Return the repository as though there were no folders of these names."""
        return Repository(
            {name: stored for name, stored in self.models.items() if name not in names},
            tuple(fault for fault in self.faults if fault.model not in names),
        )


class _Faulty(Exception):
    """Carries the reason from the check that failed to `scan`."""


def file_digest(path: Path) -> str:
    """Return the digest of a file's bytes, ``sha256:<hex>``."""
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def scan(
    root: Path, digest: Callable[[Path], str] = file_digest, check: Callable[[Card], None] | None = None
) -> Repository:
    """Read every model folder under `root`; a faulty one becomes a `Fault` and never stops the others.

    Names that begin with a dot are not models.

    Args:
        root: the model repository.
        digest: returns the digest of a model file; called once for each.
        check: raises ValueError where a card is not what its task asks for; None: as the tasks of this tree have it.

    Raises:
        OSError: `root` is not a folder that can be listed.
    """
    check = check or Registry.discover().check
    models: dict[str, StoredModel] = {}
    faults: list[Fault] = []
    for directory in sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith(".")):
        try:
            models[directory.name] = _load(directory, digest, check)
        except _Faulty as fault:
            faults.append(Fault(directory.name, str(fault)))
        except OSError as error:
            faults.append(Fault(directory.name, f"cannot be read: {error.strerror}"))
    return Repository(models, tuple(faults))


def bytes_digest(content: bytes) -> str:
    """Return the digest that a file with this content has."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def labels_text(card: Card) -> str:
    """Return the contents of `labels.txt`: one class name a line, in the order of the values."""
    return "".join(f"{c.name}\n" for c in card.classes)


def _load(directory: Path, digest: Callable[[Path], str], check: Callable[[Card], None]) -> StoredModel:
    card = _card(directory, check)
    if card.name != directory.name:
        raise _Faulty(f"the folder is named '{directory.name}', its card '{card.name}'")
    _check_config(directory, card)
    _check_labels(directory, card)
    return StoredModel(card, directory, _versions(directory, card, digest))


def _card(directory: Path, check: Callable[[Card], None]) -> Card:
    try:
        card = read_card(directory / "card.json")
    except FileNotFoundError:
        raise _Faulty("card.json is missing") from None
    except ValidationError as error:
        first, *others = error.errors(include_url=False, include_input=False)
        where = ".".join(map(str, first["loc"]))
        more = f" (and {len(others)} more)" if others else ""
        raise _Faulty(f"card.json{f', key {where!r}' if where else ''}: {first['msg']}{more}") from error
    try:
        check(card)
    except ValueError as error:
        raise _Faulty(f"card.json: {error}") from error
    return card


def _check_config(directory: Path, card: Card) -> None:
    try:
        config = read_config(directory / "config.pbtxt")
    except FileNotFoundError:
        raise _Faulty("config.pbtxt is missing") from None
    except ConfigUnreadable as error:
        raise _Faulty(f"config.pbtxt cannot be read: {error}") from error
    if found := "; ".join(contradictions(config, card)):
        raise _Faulty(found)


def _check_labels(directory: Path, card: Card) -> None:
    try:
        labels = (directory / "labels.txt").read_bytes()
    except FileNotFoundError:
        raise _Faulty("labels.txt is missing") from None
    if labels != labels_text(card).encode():
        raise _Faulty("labels.txt differs from the classes of the card")


def _versions(directory: Path, card: Card, digest: Callable[[Path], str]) -> dict[int, Path]:
    """Return the model file of every version folder that Triton would see: numbers without a leading zero."""
    stored = {int(p.name) for p in directory.iterdir() if re.fullmatch("[1-9][0-9]*", p.name) and p.is_dir()}
    declared = {int(version) for version in card.digests}
    if missing := sorted(declared - stored):
        raise _Faulty(f"version {missing[0]} of the card has no folder")
    if unknown := sorted(stored - declared):
        raise _Faulty(f"version {unknown[0]} has a folder but no digest in the card")
    versions = {number: directory / str(number) / card.model_file for number in sorted(stored)}
    for number, path in versions.items():
        if not path.is_file():
            raise _Faulty(f"version {number} has no {card.model_file}")
        if digest(path) != card.digests[str(number)]:
            raise _Faulty(f"the digest of {number}/{card.model_file} is not the one in the card")
    return versions
