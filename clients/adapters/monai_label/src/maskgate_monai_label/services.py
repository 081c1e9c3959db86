"""What the adapter stands on: a gateway, and the PACS that this gateway reads from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

NRRD, NIFTI = "application/x-nrrd", "application/x-nifti"
MEDIA_TYPES = {".nrrd": NRRD, ".seg.nrrd": NRRD, ".nii.gz": NIFTI}
"""By `result_extension`."""

TASKS = ("ct", "interactive")
"""Of the gateway, whose models are shown."""

WINDOW = (-1250, 250)
"""Hounsfield units between which slices are shown to models of pictures: what the CT models see too."""

_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_SECONDS = 300.0
_STUDY, _SERIES, _INSTANCE = "0020000D", "0020000E", "00080018"
_POSITION, _ORIENTATION, _SPACING, _ROWS, _COLUMNS = "00200032", "00200037", "00280030", "00280010", "00280011"


class Refused(Exception):
    """Something cannot be answered; the caller is told the status and the words."""

    def __init__(self, status: int, detail: str) -> None:
        """Keep both."""
        super().__init__(detail)
        self.status = status
        self.detail = detail


@dataclass(frozen=True)
class Answer:
    """What the gateway made of an image."""

    content: bytes
    notices: str


class Gateway:
    """A Maskgate gateway.

    Args:
        url: where it answers.
        key: of the caller, where it asks for one.
        transport: what carries the requests; None: the network.
    """

    def __init__(self, url: str, key: str | None = None, transport: httpx.AsyncBaseTransport | None = None) -> None:
        """Connect to nothing yet."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.AsyncClient(base_url=url, headers=headers, timeout=_SECONDS, transport=transport)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()

    async def cards(self) -> list[dict[str, Any]]:
        """Return the cards of the ready models that segment: of CT, and of pictures by clicks."""
        models = (await self._ask("GET", "/v1/models")).json()["models"]
        names = [one["name"] for one in models if one["state"] == "ready" and one["task"] in TASKS]
        return [await self.card(name) for name in names]

    async def card(self, model: str) -> dict[str, Any]:
        """Return the card of a model that segments.

        Raises:
            Refused: there is no such model, or it does something else.
        """
        card = (await self._ask("GET", f"/v1/models/{quote(model, safe='')}")).json()["card"]
        if card is None or card["task"] not in TASKS:
            raise Refused(404, "There is no such model.")
        found: dict[str, Any] = card
        return found

    async def lesions(self, model: str, media_type: str, source: bytes | Mapping[str, str]) -> Answer:
        """Return the label map of a CT: of a file, or of a series that the gateway reads itself."""
        sent: dict[str, Any] = {"params": {"model": model}}
        if isinstance(source, bytes):
            sent["files"] = {"image": source}
        else:
            sent["params"] |= {"source": "dicomweb", **source}
        answer = await self._ask("POST", "/v1/ct", headers={"Accept": media_type}, **sent)
        return Answer(answer.content, answer.headers.get("Maskgate-Notices", ""))

    async def object(self, model: str, picture: bytes, prompt: str) -> Answer:
        """Return the mask of the object that a prompt means, as PNG."""
        answer = await self._ask(
            "POST",
            "/v1/interactive",
            headers={"Accept": "image/png"},
            params={"model": model},
            files={"image": picture},
            data={"prompt": prompt},
        )
        return Answer(answer.content, answer.headers.get("Maskgate-Notices", ""))

    async def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        return await _asked(self._http, "gateway", method, path, **options)


@dataclass(frozen=True)
class Series:
    """A series in the PACS, its slices in order of their position along the normal.

    Attributes:
        study: StudyInstanceUID.
        uid: SeriesInstanceUID.
        instances: SOPInstanceUIDs.
        shape: (columns, rows, slices).
        directions: per axis a step in mm, x to the patient's left, y to the back, z to the head.
        origin: where the first voxel lies.
    """

    study: str
    uid: str
    instances: tuple[str, ...]
    shape: tuple[int, int, int]
    directions: tuple[tuple[float, ...], ...]
    origin: tuple[float, ...]


class Pacs:
    """The DICOMweb server that the gateway reads from.

    Args:
        url: base address of its services.
        user: for basic authentication, with a password.
        transport: what carries the requests; None: the network.
    """

    def __init__(
        self, url: str, user: tuple[str, str] | None = None, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        """Connect to nothing yet."""
        self._http = httpx.AsyncClient(
            base_url=f"{url.rstrip('/')}/", auth=user, timeout=_SECONDS, transport=transport, trust_env=False
        )

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()

    async def listed(self) -> list[str]:
        """Return the SeriesInstanceUIDs of the CTs."""
        answer = await self._ask("series", {"Modality": "CT"})
        return [one[_SERIES]["Value"][0] for one in answer.json()] if answer.content else []

    async def study_of(self, series: str) -> str:
        """Return the StudyInstanceUID of a series."""
        if not _UID.fullmatch(series):
            raise Refused(404, "Images are named by their SeriesInstanceUID.")
        answer = await self._ask("series", {"SeriesInstanceUID": series})
        found = answer.json() if answer.content else []
        if not found:
            raise Refused(404, "The PACS has no such series.")
        study: str = found[0][_STUDY]["Value"][0]
        return study

    async def series(self, uid: str) -> Series:
        """Return a series with the places of its slices."""
        study = await self.study_of(uid)
        headers = (await self._ask(f"studies/{study}/series/{uid}/metadata")).json()
        try:
            along = [float(value) for value in headers[0][_ORIENTATION]["Value"]]
            right, down = along[:3], along[3:]
            normal = [right[i - 2] * down[i - 1] - right[i - 1] * down[i - 2] for i in range(3)]
            placed = sorted(
                (sum(float(a) * b for a, b in zip(one[_POSITION]["Value"], normal, strict=True)), number)
                for number, one in enumerate(headers)
            )
            rows, columns = (int(headers[0][tag]["Value"][0]) for tag in (_ROWS, _COLUMNS))
            row_spacing, column_spacing = (float(value) for value in headers[0][_SPACING]["Value"])
            origin = tuple(float(value) for value in headers[placed[0][1]][_POSITION]["Value"])
            instances = tuple(headers[number][_INSTANCE]["Value"][0] for _, number in placed)
        except (KeyError, IndexError, ValueError) as error:
            raise Refused(422, "The slices of the series do not say where they lie.") from error
        step = (placed[-1][0] - placed[0][0]) / max(1, len(placed) - 1) or 1.0
        directions = (
            tuple(column_spacing * value for value in right),
            tuple(row_spacing * value for value in down),
            tuple(step * value for value in normal),
        )
        return Series(study, uid, instances, (columns, rows, len(instances)), directions, origin)

    async def picture(self, series: Series, number: int) -> bytes:
        """Return a slice as a picture, through `WINDOW`."""
        low, high = WINDOW
        path = f"studies/{series.study}/series/{series.uid}/instances/{series.instances[number]}/rendered"
        # With commas as they are, which not every server takes for such where they are escaped.
        window = f"window={(low + high) / 2:g},{high - low},linear"
        return (await self._ask(f"{path}?{window}", accept="image/png")).content

    async def _ask(
        self, path: str, query: Mapping[str, str] | None = None, accept: str = "application/dicom+json"
    ) -> httpx.Response:
        return await _asked(self._http, "PACS", "GET", path, params=query, headers={"Accept": accept})


async def _asked(http: httpx.AsyncClient, name: str, method: str, path: str, **options: Any) -> httpx.Response:
    """Return a good answer.

    Raises:
        Refused: any other: the words of a problem document, or the status alone.
    """
    try:
        answer = await http.request(method, path, **options)
    except httpx.HTTPError as error:
        raise Refused(502, f"The {name} cannot be reached.") from error
    if answer.is_success:
        return answer
    if answer.headers.get("content-type") == "application/problem+json":
        raise Refused(answer.status_code, answer.json()["detail"])
    raise Refused(502, f"The {name} answered with status {answer.status_code}.")
