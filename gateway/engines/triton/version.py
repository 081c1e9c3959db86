"""One version of a model that Triton is to serve: how it stands, and what makes it ready."""

from __future__ import annotations

from pathlib import Path

from gateway.engines.base import Model, State, VersionStatus
from gateway.engines.triton.breaker import TOLERANCE, Breaker
from gateway.engines.triton.link import Link
from gateway.engines.triton.rpc import zeros
from gateway.errors import MaskgateError
from gateway.repository.config import contradictions, from_message
from gateway.scheduling.timeline import Timeline

WARM_UP_SECONDS = 600.0
"""Time to load a model, and for its first tile: an engine that is built at its first request takes minutes."""


class Version:
    """Begins as loading, with its breaker open.

    Attributes:
        model: what requests are told about it.
        path: its model file.
        breaker: open while it is asked nothing.
        state: ready exactly where the breaker is closed.
        reason: see `VersionStatus`.
        rises: counts how often it became ready.
    """

    def __init__(self, model: Model, path: Path) -> None:
        """Ask nothing yet."""
        self.model = model
        self.path = path
        self.breaker = Breaker(TOLERANCE)
        self.state: State = "loading"
        self.reason = ""
        self.rises = 0

    @property
    def status(self) -> VersionStatus:
        """How it stands now."""
        return VersionStatus(self.model, self.state, self.reason)

    def fall(self, reason: str) -> None:
        """Ask nothing more of it, for this reason."""
        self.breaker.trip()
        self.state, self.reason = "failed", reason

    def rise(self) -> None:
        """Let requests through."""
        self.breaker.close()
        self.state, self.reason = "ready", ""
        self.rises += 1

    def stay(self, reason: str) -> None:
        """Go on as it is, though its file is another now, for this reason."""
        self.reason = f"still serving its former form, since {reason}" if self.state == "ready" else reason


async def flaw(link: Link, model: Model) -> str:
    """Return why Triton does not serve this version as its card says, or nothing; asks for a tile of zeros.

    A busy Triton has as much time for each question as for the tile.

    Raises:
        RpcError: Triton does not answer, or refuses to.
    """
    if not await link.channel.model_ready(model, WARM_UP_SECONDS):
        return not_loaded(model)
    config = from_message(await link.channel.model_config(model, WARM_UP_SECONDS))
    if found := "; ".join(contradictions(config, model.card, "Triton")):
        return found
    try:
        await link.run(zeros(model), Timeline(WARM_UP_SECONDS))
    except MaskgateError as error:
        return f"Triton does not answer a tile of zeros: {error.detail}"
    return ""


def not_loaded(model: Model) -> str:
    """Return what is said of a version that Triton does not have."""
    return f"Triton has not loaded version {model.version}; its log says why"
