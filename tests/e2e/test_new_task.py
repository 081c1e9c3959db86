"""A task that lies in one folder outside the tree, through a real gateway and the client."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from maskgate_client import Client

from tests.support.pictures import decode, encode, noise
from tests.support.processes import gateway
from tests.support.toy_task.model import CLASSES, write_model
from tests.support.toy_task.pipeline import dry
from tests.support.toy_task.spec import TASK
from tests.support.trivial import label_table

pytestmark = pytest.mark.e2e


def test_the_client_asks_it_by_name(tmp_path: Path) -> None:
    photo = noise(64, 64)
    expected = dry(photo, label_table(len(CLASSES))[photo[..., 1]])
    models = write_model(tmp_path)
    with gateway(models, MODELS_TASKS=json.dumps([TASK.package])) as server, Client(server.address) as client:
        assert client.ready()
        (task,) = (task for task in client.tasks() if task.name == TASK.name)
        assert (task.title, task.default_model) == (TASK.title, TASK.default_model)
        report = client.ask(task, encode(photo), include=["overlay"])
        assert not isinstance(report, bytes)
        assert report.model == TASK.default_model
        picture = client.ask(TASK.name, encode(photo), accept="image/png")
        assert isinstance(picture, bytes)
        np.testing.assert_array_equal(decode(picture), expected)
