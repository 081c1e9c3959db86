"""Sessions as tests begin and click them."""

from __future__ import annotations

import json
from typing import Any

import httpx
import numpy as np

from tests.support.app_client import AppClient
from tests.support.pictures import decode, encode, noise

SESSIONS = "/v1/interactive/sessions"
PIXELS = noise(120, 160)
IMAGE = encode(PIXELS)
BOX: dict[str, Any] = {"box": [48, 28, 113, 93], "positive": [[80, 60]]}
SQUARE = {"polygon": [[10, 10], [29, 10], [29, 19], [10, 19]]}
TALLER = {"polygon": [[20, 5], [40, 5], [40, 40], [20, 40]]}


def begin(client: AppClient, query: str = "", prompt: object = None, **options: Any) -> httpx.Response:
    files = {"image": IMAGE} | ({} if prompt is None else {"prompt": json.dumps(prompt).encode()})
    return client.post(f"{SESSIONS}{query}", files=files, **options)


def begun(client: AppClient, query: str = "", prompt: object = None, **options: Any) -> str:
    """Return the address of a new session."""
    answer = begin(client, query, prompt, **options)
    assert answer.status_code == 201, answer.text
    return answer.headers["Location"]


def click(client: AppClient, session: str, prompt: object, query: str = "", **options: Any) -> httpx.Response:
    return client.post(f"{session}/clicks{query}", json=prompt, **options)


def mask(answer: httpx.Response) -> np.ndarray:
    """Return the values of an answer's PNG."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    return decode(answer.content)


def once(client: AppClient, prompt: object, query: str = "") -> np.ndarray:
    """Return what the one-shot route answers."""
    files = {"image": IMAGE, "prompt": json.dumps(prompt).encode()}
    return mask(client.post(f"/v1/interactive{query}", files=files))
