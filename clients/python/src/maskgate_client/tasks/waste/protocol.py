"""The HTTP contract of waste, without HTTP, and its answer, typed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import httpx

from maskgate_client.answers import LabelMapReport, Picture, read_label_map
from maskgate_client.call import JSON, Call, image_part, query
from maskgate_client.images import ImageInput


@dataclass(frozen=True)
class WasteReport(LabelMapReport):
    """The waste on a photograph: `regions` are its pieces."""

    def pieces(self) -> dict[str, int]:
        """Return the number of pieces per class name, background left out."""
        return self.counts()


def waste(
    image: ImageInput,
    *,
    model: str | None = None,
    version: int | None = None,
    min_area: int | None = None,
    include: Sequence[Picture] = (),
) -> Call[WasteReport]:
    """Return the waste on a photograph by class and piece, and the pictures to `include` at no extra run.

    Pieces of fewer than `min_area` pixels are not listed; by default the gateway's limit counts.
    """
    params = query(include=include, min_area=min_area, model=model, version=version)
    return Call("POST", "/v1/waste", JSON, _read_report, params, image_part("image", image))


def _read_report(response: httpx.Response) -> WasteReport:
    return WasteReport(**read_label_map(response.json()))
