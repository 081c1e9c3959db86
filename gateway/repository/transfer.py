"""Models between this repository and another place: a folder, or an object store under the same layout.

What is in a card decides what travels and whether it arrived: the model files of the versions that it declares, each
with its digest, and the files beside them. A model that arrives takes its place whole, by a rename.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Protocol

from pydantic import ValidationError

from gateway.repository.card import Card
from gateway.repository.store import StoredModel, file_digest, scan

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_CHUNK = 1 << 20
_CARD = "card.json"
_SAFE = re.compile(r"\w[\w.-]*")


class TransferFailed(Exception):
    """Why models cannot be moved or are not what their cards say, in one sentence for an operator."""


@dataclass(frozen=True)
class Wanted:
    """A model that was asked for, and the digest that its newest version must have, where one was named."""

    name: str
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> Wanted:
        """Read ``NAME`` or ``NAME@sha256:<hex>``.

        Raises:
            TransferFailed: it is neither.
        """
        found = re.fullmatch(r"([A-Za-z0-9_][A-Za-z0-9_.-]*)(?:@(sha256:[0-9a-f]{64}))?", text)
        if found is None:
            raise TransferFailed(f"'{text}' is neither MODEL nor MODEL@sha256:…")
        return cls(found[1], found[2])


Moved = tuple[Card, int]
"""A model that is in both places now, and how many bytes of it had to travel; of `verify`, were read."""


class Place(Protocol):
    """Where models lie. Keys are relative POSIX paths, ``<model>/<file>`` and ``<model>/<version>/<file>``."""

    def listing(self, model: str | None = None) -> list[str]:
        """Return all keys, or those of one model."""

    def read(self, key: str) -> Iterable[bytes]:
        """Return the content in pieces.

        Raises:
            FileNotFoundError: nothing has this key.
        """

    def write(self, key: str, source: Path) -> None:
        """Store a file's content under a key, whole or not at all."""


@dataclass(frozen=True)
class FolderPlace:
    """A folder in the layout of the repository."""

    root: Path

    def listing(self, model: str | None = None) -> list[str]:
        """Return the keys of all files, hidden ones left out."""
        base = self.root / model if model else self.root
        found = (path.relative_to(self.root) for path in base.rglob("*") if path.is_file())
        return sorted(path.as_posix() for path in found if not any(part.startswith(".") for part in path.parts))

    def read(self, key: str) -> Iterator[bytes]:
        """Yield the file in pieces of a mebibyte."""
        with (self.root / key).open("rb") as file:
            while piece := file.read(_CHUNK):
                yield piece

    def write(self, key: str, source: Path) -> None:
        """Copy beside the target, then rename."""
        target = self.root / key
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".", delete=False) as copy:
            temporary = Path(copy.name)
        try:
            shutil.copyfile(source, temporary)
            temporary.chmod(0o644)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


@dataclass(frozen=True)
class BucketPlace:
    """An object store by obstore: S3, Google's or Azure's, or files behind HTTP that can be listed."""

    store: ObjectStore

    def listing(self, model: str | None = None) -> list[str]:
        """List the objects."""
        with _store_errors():
            return sorted(entry["path"] for page in self.store.list(model) for entry in page)

    def read(self, key: str) -> Iterator[bytes]:
        """Yield the object in pieces of a mebibyte at least."""
        with _store_errors():
            for piece in self.store.get(key).stream(min_chunk_size=_CHUNK):
                yield bytes(piece)

    def write(self, key: str, source: Path) -> None:
        """Upload, in parts where it is large."""
        with _store_errors():
            self.store.put(key, source)


@contextmanager
def _store_errors() -> Iterator[None]:
    """Have what obstore raises as the errors that a folder has, its advice to programmers left out."""
    from obstore.exceptions import BaseError, NotFoundError

    try:
        yield
    except NotFoundError as error:
        raise FileNotFoundError(_first_line(error)) from error
    except BaseError as error:
        raise OSError(_first_line(error)) from error


def place(address: str) -> Place:
    """Return the place of an address: a folder's path, or a URL that obstore knows, such as ``s3://bucket/prefix``.

    Credentials, region and endpoint of S3 are those of the environment (`AWS_ACCESS_KEY_ID`, `AWS_REGION`,
    `AWS_ENDPOINT_URL`, `AWS_ALLOW_HTTP`, …).

    Raises:
        TransferFailed: obstore is not installed, or does not know the address.
    """
    if "://" not in address:
        return FolderPlace(Path(address))
    try:
        from obstore.exceptions import BaseError
        from obstore.store import from_url
    except ImportError:
        raise TransferFailed(f"{address} needs obstore: install the extra `s3`") from None
    try:
        return BucketPlace(from_url(address))
    except (BaseError, ValueError) as error:
        raise TransferFailed(f"{address} cannot be used: {_first_line(error)}") from error


def pull(
    source: Place,
    root: Path,
    wanted: Sequence[Wanted] = (),
    licence: str = "",
    check: Callable[[Card], None] | None = None,
) -> Iterator[Moved]:
    """Fetch models into a repository, and yield each when it is in place. What is there already is not fetched again.

    Args:
        source: where they lie.
        root: the repository; made if it is not there.
        wanted: which; none: all.
        licence: only models whose licence contains this text.
        check: what the cards must hold, as in `scan`.

    Raises:
        TransferFailed: one is not there, is not what its card says, or has another digest than was asked for. Those
            before it are in place, and it has changed nothing.
        OSError: a place cannot be read or written.
    """
    root.mkdir(parents=True, exist_ok=True)
    for card in _chosen(source, wanted, licence):
        keys = _keys_of(source, card)
        if _same(root / card.name, source, card, keys):
            yield card, 0
            continue
        with tempfile.TemporaryDirectory(dir=root, prefix=".pull-") as scratch:
            sent = sum(_fetch(source, key, Path(scratch), root, card) for key in keys)
            found = scan(Path(scratch), check=check)
            if found.faults:
                raise TransferFailed(f"{card.name}: {found.faults[0].reason}")
            _swap(Path(scratch, card.name), root / card.name, Path(scratch, ".replaced"))
        yield card, sent


def push(
    root: Path,
    target: Place,
    wanted: Sequence[Wanted] = (),
    licence: str = "",
    check: Callable[[Card], None] | None = None,
) -> Iterator[Moved]:
    """Store models of a repository elsewhere, each card last, so that nobody pulls half a model; else as `pull`.

    Raises:
        TransferFailed: one is not there or is faulty.
        OSError: a place cannot be read or written.
    """
    stored = _sound(root, wanted, check)
    for card in _chosen(FolderPlace(root), wanted, licence):
        there = set(target.listing(card.name))
        before = _card_of(target, card.name) if f"{card.name}/{_CARD}" in there else None
        sent = 0
        for key in sorted(_keys_of(FolderPlace(root), card), key=lambda key: key.endswith(_CARD)):
            version = PurePosixPath(key).parent.name
            known = before.digests.get(version) if before and before.model_file == card.model_file else None
            if key in there and known is not None and known == card.digests.get(version):
                continue
            target.write(key, stored[card.name].directory.parent / key)
            sent += (root / key).stat().st_size
        yield card, sent


def verify(source: Place, wanted: Sequence[Wanted] = (), licence: str = "") -> Iterator[Moved]:
    """Read every model file, and yield each model whose files have the digests of its card.

    Raises:
        TransferFailed: one has not.
        OSError: the place cannot be read.
    """
    for card in _chosen(source, wanted, licence):
        size = 0
        for version, declared in sorted(card.digests.items()):
            key, digest = f"{card.name}/{version}/{card.model_file}", hashlib.sha256()
            for piece in _pieces(source, key):
                digest.update(piece)
                size += len(piece)
            if f"sha256:{digest.hexdigest()}" != declared:
                raise TransferFailed(f"{key} has another digest than its card says")
        yield card, size


def _sound(root: Path, wanted: Sequence[Wanted], check: Callable[[Card], None] | None) -> dict[str, StoredModel]:
    found = scan(root, check=check)
    names = {each.name for each in wanted}
    for fault in found.faults:
        if not names or fault.model in names:
            raise TransferFailed(f"{fault.model}: {fault.reason}")
    return dict(found.models)


def _chosen(source: Place, wanted: Sequence[Wanted], licence: str) -> Iterator[Card]:
    """Yield the cards of the models that are asked for, in alphabetical order."""
    names = {each.name: each.digest for each in wanted}
    if not names:
        names = {
            PurePosixPath(key).parent.name: None for key in source.listing() if re.fullmatch(rf"[^/]+/{_CARD}", key)
        }
    if not names:
        raise TransferFailed("there are no models there")
    for name, digest in sorted(names.items()):
        card = _card_of(source, name)
        newest = card.digests[max(card.digests, key=int)]
        if digest not in (None, newest):
            raise TransferFailed(f"{name} is {newest}, not {digest}")
        if licence.lower() in card.licence.lower():
            yield card


def _card_of(source: Place, name: str) -> Card:
    try:
        card = Card.model_validate_json(b"".join(_pieces(source, f"{name}/{_CARD}")))
    except ValidationError:
        raise TransferFailed(f"{name}/{_CARD} is not a card") from None
    if card.name != name:
        raise TransferFailed(f"the card in {name} is of {card.name}")
    return card


def _keys_of(source: Place, card: Card) -> list[str]:
    """Return the keys of a model: all but those of versions that its card does not declare."""
    keys = []
    for key in source.listing(card.name):
        name, *parts = PurePosixPath(key).parts
        if name != card.name or not 1 <= len(parts) <= 2 or not all(_SAFE.fullmatch(part) for part in parts):
            continue
        if len(parts) == 1 or not parts[0].isdecimal() or parts[0] in card.digests:
            keys.append(key)
    return keys


def _same(directory: Path, source: Place, card: Card, keys: Sequence[str]) -> bool:
    """Whether a model is in a repository as it is in `source`, by digests of model files and bytes of all others."""
    here = FolderPlace(directory.parent)
    if here.listing(card.name) != list(keys):
        return False
    for key in keys:
        digest = _declared(card, key)
        if digest is not None:
            if file_digest(directory.parent / key) != digest:
                return False
        elif b"".join(_pieces(source, key)) != (directory.parent / key).read_bytes():
            return False
    return True


def _declared(card: Card, key: str) -> str | None:
    path = PurePosixPath(key)
    return card.digests.get(path.parent.name) if path.name == card.model_file else None


def _fetch(source: Place, key: str, scratch: Path, root: Path, card: Card) -> int:
    """Write one file of a model below `scratch`, and return how many bytes travelled for it."""
    target = scratch / key
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = _declared(card, key)
    if digest is not None and (root / key).is_file() and file_digest(root / key) == digest:
        target.hardlink_to(root / key)
        return 0
    with target.open("wb") as file:
        return sum(file.write(piece) for piece in _pieces(source, key))


def _pieces(source: Place, key: str) -> Iterator[bytes]:
    try:
        yield from source.read(key)
    except FileNotFoundError:
        raise TransferFailed(f"{key} is not there") from None


def _swap(arrived: Path, target: Path, aside: Path) -> None:
    """Put a folder in another's place; nothing that is read meanwhile is half of each."""
    if target.exists():
        target.rename(aside)
    arrived.rename(target)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
