"""Plain FastAPI: a `def` endpoint, which runs in a thread, under two worker processes of uvicorn.

As in https://fastapi.tiangolo.com/tutorial/request-files/ and https://fastapi.tiangolo.com/deployment/server-workers/.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import FastAPI, File, Response

from tests.load.peers.services.work import PairWork

app = FastAPI()
work = PairWork()


@app.post("/pair")
def pair(pre: Annotated[bytes, File()], post: Annotated[bytes, File()]) -> Response:
    """Return the label map of a pair."""
    return Response(work(pre, post), media_type="image/png")
