"""What a batch is of: the items in a folder, in a table, or in a bucket, by the parts that the task asks for."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from maskgate_client.command import MisuseError
from maskgate_client.service import Task

RESERVED = "report"
"""What no answer is saved as: the report of all is."""

_FILES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm", ".zip", ".nii", ".gz", ".json", ".geojson"})
_ADDRESS = re.compile(r"(https?|s3)://")


@dataclass(frozen=True)
class BatchItem:
    """One item of a batch.

    Attributes:
        name: what its answer is saved under; it stays here.
        parts: path or address of each part.
    """

    name: str
    parts: Mapping[str, str]


def items_in(source: str, task: Task) -> list[BatchItem]:
    """Return the items that a folder, a CSV file or an address ``s3://bucket/path/`` names.

    Raises:
        MisuseError: there are none, or they lack parts.
        OSError: it cannot be read.
    """
    if source.startswith("s3://"):
        items = _paired(_listed(source), task)
    elif source.lower().endswith(".csv"):
        items = _rows(Path(source), task)
    else:
        folder = Path(source)
        items = _paired([str(path) for path in sorted(folder.rglob("*")) if path.is_file()], task, root=folder)
    if not items:
        raise MisuseError(f"nothing for {task.name} in {source}; it takes {_taken(task)}")
    names = {item.name for item in items}
    if len(names) < len(items) or RESERVED in names:
        items = [BatchItem(f"{number:05d}_{item.name}", item.parts) for number, item in enumerate(items)]
    return items


def _taken(task: Task) -> str:
    return " and ".join(part.name for part in task.parts if part.required)


def _paired(files: Iterable[str], task: Task, root: Path | None = None) -> list[BatchItem]:
    """Return an item per file of a task with one part; of others, per files whose names differ in the part's alone.

    So ``a_pre_disaster.png`` and ``a_post_disaster.png`` are an item of a task whose parts are `pre` and `post`.

    Raises:
        MisuseError: a file has no partner.
    """
    required = [part.name for part in task.parts if part.required]
    known = [file for file in files if PurePosixPath(file).suffix.lower() in _FILES]
    if len(required) == 1:
        return [BatchItem(_stem(file, root), {required[0]: file}) for file in known]
    marks = re.compile(rf"(?<![A-Za-z0-9])({'|'.join(map(re.escape, required))})(?![A-Za-z0-9])", re.IGNORECASE)
    groups: dict[str, dict[str, str]] = defaultdict(dict)
    for file in known:
        found = list(marks.finditer(_stem(file, root)))
        if found:
            last, stem = found[-1], _stem(file, root)
            name = f"{stem[: last.start()]}{stem[last.end() :]}"
            groups[re.sub(r"[_\-. ]{2,}", "_", name).strip("_-. ") or "item"][last[1].lower()] = file
    lone = [name for name, parts in groups.items() if len(parts) < len(required)]
    if lone:
        raise MisuseError(f"{lone[0]} lacks {' and '.join(set(required) - groups[lone[0]].keys())}")
    return [BatchItem(name, parts) for name, parts in sorted(groups.items())]


def _stem(file: str, root: Path | None) -> str:
    """Return a file's name without its ending; those of subfolders have the folders' names before it."""
    path = PurePosixPath(Path(file).relative_to(root).as_posix() if root else PurePosixPath(file).name)
    name = path.name.removesuffix(".gz")
    return "_".join((*path.parts[:-1], PurePosixPath(name).stem))


def _rows(table: Path, task: Task) -> list[BatchItem]:
    """Return an item per row: its columns are the parts, files beside the table or addresses, and perhaps `name`.

    Raises:
        MisuseError: a column is missing, or none that the task knows.
    """
    known = {part.name: part.required for part in task.parts}
    with table.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        columns: Sequence[str] = reader.fieldnames or ()
        missing = [name for name, required in known.items() if required and name not in columns]
        if missing or set(columns) - known.keys() - {"name"}:
            raise MisuseError(f"{table} needs the columns {', '.join(known)}, and may have name")
        return list(_items_of(reader, table))


def _items_of(rows: Iterable[Mapping[str, str | None]], table: Path) -> Iterator[BatchItem]:
    for number, row in enumerate(rows):
        given = {part: value.strip() for part, value in row.items() if part != "name" and value and value.strip()}
        parts = {part: value if _ADDRESS.match(value) else str(table.parent / value) for part, value in given.items()}
        name = (row.get("name") or "").strip() or _stem(next(iter(given.values()), f"{number:05d}"), None)
        yield BatchItem(re.sub(r"[^\w.-]+", "_", name), parts)


def _listed(address: str) -> list[str]:
    """Return the addresses of the objects that an address in S3 begins.

    Raises:
        MisuseError: what reads S3 is not installed.
    """
    try:
        from obstore.store import S3Store
    except ImportError:
        raise MisuseError("s3:// needs obstore: pip install 'maskgate-client[s3]'") from None
    bucket, _, prefix = address.removeprefix("s3://").partition("/")
    found = S3Store(bucket).list(prefix or None)
    return sorted(f"s3://{bucket}/{entry['path']}" for page in found for entry in page)
