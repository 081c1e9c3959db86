"""Which models Triton is to serve, and how each stands."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from gateway.engines.base import Model, Status
from gateway.engines.standing import standing
from gateway.engines.triton.version import Version
from gateway.observability.metrics import Telemetry
from gateway.repository.store import StoredModel

_log = logging.getLogger(__name__)


class Models:
    """Every model folder with its versions; logs and counts what becomes of them.

    Args:
        telemetry: where readiness is shown.
    """

    def __init__(self, telemetry: Telemetry) -> None:
        """Hold no model yet."""
        self._telemetry = telemetry
        self._versions: dict[str, dict[int, Version]] = {}
        self._faults: Mapping[str, str] = {}
        self._shown: dict[str, Status] = {}

    def names(self) -> set[str]:
        """Return the name of every model folder."""
        return set(self._versions)

    def versions(self) -> list[Version]:
        """Return the versions of all models."""
        return [version for versions in self._versions.values() for version in versions.values()]

    def statuses(self) -> Sequence[Status]:
        """Return the standing of every model folder, sorted by name."""
        return [self._status(name) for name in sorted(self._versions)]

    def held(self, model: Model) -> Version | None:
        """Return the version that `model` means, of its number and digest, however it stands."""
        version = self._versions.get(model.name, {}).get(model.version)
        return version if version and version.model.digest == model.digest else None

    def succeed(self, stored: StoredModel) -> tuple[dict[int, Version], dict[int, Version]]:
        """Put a model as it is on disk in its former one's place; return the former versions and the new, by number.

        A version whose file is the same goes on under its new card, any other begins as loading. The new mapping is
        the one held: what is changed in it changes here.
        """
        former = self._versions.get(stored.name, {})
        versions = {number: _successor(former.get(number), stored, number) for number in stored.versions}
        self._versions[stored.name] = versions
        self.show(stored.name)
        return former, versions

    def blame(self, faults: Mapping[str, str]) -> None:
        """Take the faults of all folders, name → reason, in place of the former ones; versions stay as they are."""
        self._faults = faults
        for name in faults:
            self._versions.setdefault(name, {})
            self.show(name)

    def remove(self, name: str) -> None:
        """Forget a model."""
        del self._versions[name]
        self._shown.pop(name, None)
        self._telemetry.forget_model(name)
        _log.info("model %s is gone", name)

    def fall(self, version: Version, reason: str) -> None:
        """Ask nothing more of a version and say why."""
        version.fall(reason)
        self.show(version.model.name)

    def show(self, name: str) -> None:
        """Log and count how a model stands, where that is news."""
        if name not in self._versions or (status := self._status(name)) == self._shown.get(name):
            return
        self._shown[name] = status
        self._telemetry.model_ready.labels(name).set(status.state == "ready")
        log = _log.error if status.reason else _log.info
        log("model %s is %s%s", name, status.state, f": {status.reason}" if status.reason else "")

    def _status(self, name: str) -> Status:
        return standing(name, [v.status for v in self._versions[name].values()], self._faults.get(name, ""))


def _successor(former: Version | None, stored: StoredModel, number: int) -> Version:
    model = Model(stored.card, number, stored.card.digests[str(number)])
    if former is None or former.model.digest != model.digest:
        return Version(model, stored.versions[number])
    former.model = model
    return former
