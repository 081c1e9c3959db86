"""`POST /v1/pebbles`."""

from __future__ import annotations

from gateway.http.label_map_answers import ImageTask, label_map_router
from tests.support.toy_task.pipeline import map_pebbles
from tests.support.toy_task.spec import TASK

router = label_map_router(ImageTask(TASK, map_pebbles, smallest=1))
