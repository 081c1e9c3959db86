"""The HTTP contract of any task, by the description that the gateway gives of it: new tasks need no new client."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx

from maskgate_client.answers import LabelMapReport, ScoreReport, read_label_map, read_scores
from maskgate_client.call import JSON, Call, content, query
from maskgate_client.call import Part as Upload
from maskgate_client.images import media_type
from maskgate_client.service import Task, TaskPart, tasks
from maskgate_client.tasks.ct.answers import CtReport
from maskgate_client.tasks.ct.protocol import ct_bytes, read_report
from maskgate_client.tasks.interactive.answers import MaskReport
from maskgate_client.tasks.interactive.prompts import Prompt
from maskgate_client.tasks.interactive.protocol import read_masks

Answer = LabelMapReport | CtReport | ScoreReport | MaskReport | bytes
"""A report by what the task says that its answers are, or a file where another media type than JSON is asked for."""


def ask(
    task: str | Task,
    image: Any = None,
    *,
    accept: str | None = None,
    model: str | None = None,
    version: int | None = None,
    include: Sequence[str] = (),
    **more: Any,
) -> Call[Answer]:
    """Return the answer of any task: a report, or the bytes of a file where `accept` is another type than JSON.

    Args:
        task: its name, for which the gateway is asked what it is; or one of `tasks`.
        image: the part `image`, as `ImageInput`, or the path of a folder of DICOM files.
        accept: media type of the answer, one of the task's `formats`; by default JSON.
        model: by default the task's own.
        version: by default the newest that is ready.
        include: what a report is to bring along, such as ``label_map`` and ``overlay``.
        more: other parts, by the names that the task gives them, which may be JSON as plain values too; and parameters
            of the query.

    Raises:
        ValueError: the gateway has no such task, or a part is missing, or cannot be sent.
    """
    given = more | ({} if image is None else {"image": image})
    params = query(model=model, version=version, include=include)

    def then(described: Task) -> Call[Answer]:
        return _asked(described, given, params, accept or JSON)

    if isinstance(task, Task):
        return then(task)
    return tasks().followed_by(lambda known: then(_find(known, task)))


def _find(known: Sequence[Task], name: str) -> Task:
    for task in known:
        if task.name == name:
            return task
    raise ValueError(f"this gateway has no task {name!r}; it has {', '.join(task.name for task in known)}")


def _asked(task: Task, given: Mapping[str, Any], params: Mapping[str, Any], accept: str) -> Call[Answer]:
    parts = {part.name: part for part in task.parts}
    if missing := [part.name for part in task.parts if part.required and part.name not in given]:
        raise ValueError(f"{task.name} needs {' and '.join(missing)}")
    files = {name: _upload(parts[name], value) for name, value in given.items() if name in parts}
    more = query(**{name: value for name, value in given.items() if name not in parts})
    read = _READERS.get(task.answer, content) if accept == JSON else content
    return Call("POST", f"/v1/{task.name}", accept, read, {**params, **more}, files)


def _upload(part: TaskPart, value: Any) -> Upload:
    """Return a part's file; the user's file name stays at home."""
    if isinstance(value, Prompt | Mapping | list):
        document = value.document() if isinstance(value, Prompt) else value
        kind = next((known for known in part.media_types if known.endswith("json")), JSON)
        return part.name, json.dumps(document, allow_nan=False).encode(), kind
    data, _ = ct_bytes(value)
    kind = media_type(data)
    return part.name, data, next((known for known in (kind, *part.media_types) if known in part.media_types), kind)


def _read_label_map(response: httpx.Response) -> LabelMapReport | CtReport:
    """Read a report on a label map; one that is of slices and lesions is a CT's."""
    document = response.json()
    return read_report(response) if "lesions" in document else LabelMapReport(**read_label_map(document))


_READERS: Mapping[str, Callable[[httpx.Response], Answer]] = {
    "label map": _read_label_map,
    "scores": lambda response: ScoreReport(**read_scores(response.json())),
    "masks": read_masks,
}
