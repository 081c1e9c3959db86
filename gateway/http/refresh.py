"""`POST /v1/repository/refresh`: an operator's word that models have come, changed or gone."""

from __future__ import annotations

from fastapi import APIRouter

from gateway.http.answers import RefreshAnswer
from gateway.http.request_path import InjectedServices

router = APIRouter(tags=["service"])


@router.post(
    "/v1/repository/refresh",
    summary="Take in what has changed in the model repository",
    responses={503: {"description": "The repository cannot be read; what was served still is"}},
)
async def refresh(services: InjectedServices) -> RefreshAnswer:
    """Load what is new or changed, drop what is gone, and return which models that were.

    Answers when all of it is done; requests are served meanwhile, and those in flight end on the model they began
    with. Where the gateway runs as several processes, the others begin when this one is done. What cannot be served in
    its new form stays as it was and is named under `failed`.

    For operators: whoever may call this makes the gateway read and load whatever lies in the repository. A key with
    scopes needs `admin` for it; where keys have none, or there are none, let no proxy pass it on to the outside.
    """
    refreshed = await services.engine.refresh()
    services.refreshes.add(1)
    return RefreshAnswer(
        added=list(refreshed.added),
        changed=list(refreshed.changed),
        removed=list(refreshed.removed),
        failed=dict(refreshed.failed),
    )
