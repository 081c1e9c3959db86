"""One version of a model that Triton is to serve: how it stands, and what makes it ready."""

from __future__ import annotations

from pathlib import Path

from gateway.engines.base import Model, State, VersionStatus
from gateway.engines.triton.link import Link
from gateway.engines.triton.rpc import zeros
from gateway.errors import MaskgateError
from gateway.repository.config import contradictions, from_message
from gateway.scheduling.timeline import Timeline

WARM_UP_SECONDS = 600.0
"""Time to load a model, and for its first tile: an engine that is built at its first request takes minutes."""

TOLERANCE = 5
"""Failures in a row after which a version is asked no more until a probe was answered."""


class Breaker:
    """Opens at once when told to, or after `tolerance` failures without a success between them.

    Whoever owns it sends no request while it is open, probes now and then, and closes it when the probe is answered.

    Args:
        tolerance: failures in a row that open it.
    """

    def __init__(self, tolerance: int) -> None:
        """Begin open: what was never probed may not answer."""
        self._tolerance = tolerance
        self._failures = 0
        self.open = True

    def fail(self) -> None:
        """Count one failure."""
        self._failures += 1
        if self._failures >= self._tolerance:
            self.open = True

    def trip(self) -> None:
        """Open at once."""
        self.open = True

    def succeed(self) -> None:
        """Forget the failures counted. An open breaker stays open: the answer is to a request sent before."""
        self._failures = 0

    def close(self) -> None:
        """Let requests through: the probe was answered."""
        self._failures = 0
        self.open = False


class Version:
    """Begins as loading, with its breaker open.

    Attributes:
        model: what requests are told about it.
        path: its model file.
        breaker: open while it is asked nothing.
        state: ready exactly where the breaker is closed.
        reason: see `VersionStatus`.
    """

    def __init__(self, model: Model, path: Path) -> None:
        """Ask nothing yet."""
        self.model = model
        self.path = path
        self.breaker = Breaker(TOLERANCE)
        self.state: State = "loading"
        self.reason = ""

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

    def stay(self, reason: str) -> None:
        """Go on as it is, though its file is another now, for this reason."""
        self.reason = f"still serving its former form, since {reason}" if self.state == "ready" else reason


async def flaw(link: Link, model: Model) -> str:
    """Return why Triton does not serve this version as its card says, or nothing; asks for a tile of zeros.

    Raises:
        RpcError: Triton does not answer.
    """
    if not await link.channel.model_ready(model):
        return not_loaded(model)
    config = from_message(await link.channel.model_config(model))
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
