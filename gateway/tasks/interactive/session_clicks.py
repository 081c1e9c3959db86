"""Clicks of a session as callers write them, and the prompts that they add up to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from gateway.errors import PromptInvalid, PromptTooLarge
from gateway.sessions.store import Session, not_found
from gateway.settings import LimitSettings
from gateway.tasks.interactive.inputs import PromptBody, refusal
from gateway.tasks.interactive.prompts import Prompt

Which = Literal["new"] | int | None


class ClickBody(PromptBody):
    """What is added to a session: a prompt, or any part of one, and the object it is for."""

    object: Literal["new"] | Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description="Number of the object, as in the session's mask, or new; without it the one that was clicked last",
    )


@dataclass(frozen=True)
class Click:
    """What is added to the prompt of one object.

    Attributes:
        prompt: what is added.
        object: its number, "new", or None for the one that was clicked last.
    """

    prompt: Prompt
    object: Which

    def number(self, session: Session, limits: LimitSettings) -> int:
        """Return the number of the object in `session`; that of a new one follows the last.

        Raises:
            PromptInvalid: the session has no object of that number.
            PromptTooLarge: it has as many as it may have.
        """
        if self.object is None and session.events:
            return session.events[-1].object
        number = session.objects + 1 if self.object in (None, "new") else int(self.object or 0)
        if self.object == "new" and number > limits.prompt_objects:
            raise PromptTooLarge(
                f"A session may have {limits.prompt_objects} objects.", limit=limits.prompt_objects, pointer="/object"
            )
        if isinstance(self.object, int) and number > session.objects:
            raise PromptInvalid(f"The session has {session.objects} objects; begin another as new.", pointer="/object")
        return number


def read_click(text: bytearray) -> Click:
    """Return a click from its JSON.

    Raises:
        BadRequest: it is not JSON.
        PromptInvalid: it is not a prompt, or names no object.
    """
    try:
        body = ClickBody.model_validate_json(bytes(text))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        if first["loc"][:1] == ("object",):
            raise PromptInvalid('object is "new" or the number of an object, from 1.', pointer="/object") from error
        raise refusal(first["type"], first["loc"]) from error
    return Click(body.prompt(), body.object)


def prompts_of(session: Session) -> list[Prompt]:
    """Return what each object's events add up to, in the order of their numbers.

    Raises:
        SessionNotFound: an event was damaged where it was kept; the session is lost.
    """
    prompts = [Prompt()] * session.objects
    for event in session.events:
        try:
            added = PromptBody.model_validate(event.prompt, strict=False).prompt()
        except ValidationError as error:
            raise not_found() from error
        prompts[event.object - 1] = prompts[event.object - 1].joined(added)
    return prompts


def written(prompt: Prompt) -> Mapping[str, Any]:
    """Return a prompt as its JSON has it, without what it does not hold."""
    keys = asdict(prompt)
    corners = keys.pop("corners")
    box = {} if corners is None else {"box": [*corners[0], *corners[1]]}
    told = {key: value for key, value in keys.items() if value and key in prompt.given()}
    return {**box, **told, **({} if prompt.tight else {"tight": False})}
