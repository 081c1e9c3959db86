"""`POST /v1/waste`: a photograph in, a map of the waste on it out."""

from __future__ import annotations

from gateway.http.answers import LabelMapAnswer
from gateway.http.label_map_answers import ImageTask, label_map_router
from gateway.tasks.waste.pipeline import map_waste, notices_of, seen_pixels
from gateway.tasks.waste.spec import TASK


class WasteAnswer(LabelMapAnswer):
    """A map of waste in numbers."""


router = label_map_router(
    ImageTask(TASK, map_waste, notices_of=notices_of, seen_pixels=seen_pixels, answer=WasteAnswer)
)
