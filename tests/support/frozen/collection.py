"""Every frozen document by name, and how it is found."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from gateway.app import create_app
from gateway.settings import Settings
from tests.support.app_client import AppClient, running
from tests.support.frozen import commands, surfaces
from tests.support.frozen.answers import Recorder
from tests.support.frozen.asked import ct, damage, interactive, land, radiograph, restore, service, tensors, waste
from tests.support.trivial import write_trivial_model
from tests.support.trivial_crops import write_trivial_crops
from tests.support.trivial_ct import write_trivial_ct
from tests.support.trivial_interactive import write_trivial_interactive
from tests.support.trivial_land import write_trivial_land
from tests.support.trivial_radiograph import write_trivial_radiograph
from tests.support.trivial_restore import write_trivial_restore
from tests.support.trivial_waste import write_trivial_waste

_KEYS = {"all": "opens everything", "waste": "opens waste alone"}


class Seen:
    """Starts what documents are made of when it is asked for, and keeps it.

    Args:
        root: folder of the models.
        stack: ends what was started.
    """

    def __init__(self, root: Path, stack: ExitStack) -> None:
        self._root, self._stack = root, stack
        _write_models(root)

    def app(self, **groups: Any) -> AppClient:
        """Return an app that was not asked yet."""
        models = {"repository": self._root, "damage": "trivial"}
        # Nobody but the requests looks into the repository, so that what is counted is known.
        settings = Settings.model_validate({"models": models, "engine": {"watch_seconds": 0}, **groups})
        return self._stack.enter_context(running(create_app(settings)))

    @cached_property
    def client(self) -> AppClient:
        """An app with default settings."""
        return self.app()

    @cached_property
    def recorder(self) -> Recorder:
        """Whoever asks it."""
        return Recorder(self.client)

    @cached_property
    def commands(self) -> dict[str, Any]:
        """Help and settings."""
        return commands.seen()

    def keyed(self) -> dict[str, Any]:
        """Return how an app with keys answers."""
        digests = {name: f"sha256:{hashlib.sha256(key.encode()).hexdigest()}" for name, key in _KEYS.items()}
        narrow = {"digest": digests["waste"], "scopes": ["waste"], "requests_per_minute": 1}
        return service.keyed(self.app(auth={"keys": {"all": digests["all"], "waste": narrow}}), _KEYS)


DOCUMENTS: Mapping[str, Callable[[Seen], Any]] = {
    "openapi": lambda seen: surfaces.openapi(seen.client),
    "metrics": lambda seen: surfaces.metrics(seen.app()),
    "problems": lambda seen: surfaces.problems(seen.client),
    "client": lambda seen: surfaces.client_names(),
    "help": lambda seen: seen.commands["help"],
    "settings": lambda seen: seen.commands["settings"],
    "damage": lambda seen: damage.pictures(seen.recorder),
    "damage_fused": lambda seen: damage.fused(seen.recorder),
    "damage_scenes": lambda seen: damage.scenes(seen.recorder),
    "ct": lambda seen: ct.answers(seen.recorder),
    "radiograph": lambda seen: radiograph.answers(seen.recorder),
    "waste": lambda seen: waste.answers(seen.recorder),
    "land": lambda seen: land.answers(seen.recorder),
    "restore": lambda seen: restore.answers(seen.recorder),
    "interactive": lambda seen: interactive.answers(seen.recorder),
    "sessions": lambda seen: interactive.session(seen.recorder),
    "tensors": lambda seen: tensors.answers(seen.recorder),
    "service": lambda seen: service.answers(seen.recorder),
    "refusals": lambda seen: service.refusals(seen.recorder),
    "keys": lambda seen: seen.keyed(),
}
"""Name of a document → what finds it."""


@contextmanager
def seeing(root: Path) -> Iterator[Seen]:
    """Let documents be found while inside; `root` is an empty folder."""
    with ExitStack() as stack:
        yield Seen(root, stack)


def _write_models(root: Path) -> None:
    write_trivial_model(root, "trivial")
    write_trivial_model(root, "bd-fcn", inputs=("pre",), classes=2)
    write_trivial_crops(root)
    write_trivial_interactive(root)
    write_trivial_ct(root)
    write_trivial_ct(root, "narrow", size=64, low=-1000, high=400)
    write_trivial_radiograph(root, "cxr-even")
    write_trivial_radiograph(root, "cxr-bright", size=48, cells=6, shift=0.25, threshold=0.25)
    write_trivial_waste(root)
    write_trivial_land(root)
    write_trivial_restore(root)
    (write_trivial_model(root, "no-file") / "1" / "model.onnx").unlink()
