"""A session in numbers, as OpenAPI shows it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel, Field

from gateway.sessions.store import Session
from gateway.tasks.interactive.schema import MaskAnswer
from gateway.tasks.interactive.session_clicks import prompts_of, written


class SessionAnswer(BaseModel):
    """A session as it stands."""

    id: str = Field(description="As in its address; who has it and the tenant's key has the session")
    expires: datetime = Field(description="Unless it is used before")
    revision: int = Field(description="How often its clicks changed", examples=[3])
    width: int = Field(examples=[481])
    height: int = Field(examples=[321])
    image: str = Field(description="SHA-256 of the image as it was sent", examples=["sha256:9f2b…"])
    model: str = Field(description="Answers until the session ends", examples=["iog_refine"])
    version: int | None = Field(description="null: of a tool", examples=[1])
    digest: str | None = Field(description="SHA-256 of the model file; null: of a tool", examples=["sha256:4f0c…"])
    threshold: float | None = Field(description="null: the model's own", examples=[0.5])
    objects: list[dict[str, Any]] = Field(
        description="What the clicks add up to: a prompt per object, in the order of their values in the mask",
        examples=[[{"box": [218, 42, 370, 320], "positive": [[298, 144]]}]],
    )
    clicks: int = Field(description="How many steps can be taken back", examples=[1])
    notices: list[str] = Field(description="What was done to the image")
    answer: MaskAnswer | None = Field(default=None, description="To the first prompt, where the session began with one")


def session_answer(session: Session, idle_seconds: float, answer: MaskAnswer | None = None) -> SessionAnswer:
    """Return a session, used just now, as it stands."""
    return SessionAnswer(
        id=session.id,
        expires=datetime.now(UTC) + timedelta(seconds=idle_seconds),
        revision=session.revision,
        width=session.width,
        height=session.height,
        image=session.image,
        model=session.model,
        version=session.version,
        digest=session.digest,
        threshold=session.threshold,
        objects=[dict(written(prompt)) for prompt in prompts_of(session)],
        clicks=len(session.events),
        notices=list(session.notices),
        answer=answer,
    )
