"""What an interactive model's encoder saw, kept between the clicks on one object.

Features may be lost at any time: whoever asks for them can make them again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from numpy.typing import NDArray

from gateway.observability.metrics import Telemetry

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
Features = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class FeatureKey:
    """Everything that decides what an encoder's features are, so that no others are ever taken for them.

    Attributes:
        tenant: whose image it is; tenants never share features, not even of equal images.
        image: digest of the upload, ``sha256:…``.
        model: name of the encoder.
        digest: of the encoder's model file, ``sha256:…``; a name and a version may come to mean another file.
        crop: x0, y0, x1, y1 of the crop in image pixels, both bounds inclusive.
        clicks: what the encoder was shown of the clicks: x and y in crop pixels, and whether it lies inside the object.
    """

    tenant: str
    image: str
    model: str
    digest: str
    crop: tuple[int, int, int, int]
    clicks: tuple[tuple[int, int, bool], ...]


class FeatureStore(Protocol):
    """Keeps features for as long as there is room."""

    async def get(self, key: FeatureKey) -> Features | None:
        """Return the features by output name, (C, H, W) each and read-only; None where none are kept."""

    async def put(self, key: FeatureKey, features: Features) -> None:
        """Keep `features`, which nobody changes from now on, where there is room; failing to is no error."""


class Shelf(Generic[K, V]):
    """Values of at most `size` bytes in all; the one longest unused makes room. Lives on one event loop.

    Args:
        size: bytes, > 0.
        dropped: called for every value that made room.
        moved: called with the bytes that came; those that went are negative.
    """

    def __init__(
        self, size: int, dropped: Callable[[], None] = lambda: None, moved: Callable[[int], None] = lambda _: None
    ) -> None:
        """Hold nothing yet."""
        self.size = size
        self.held = 0
        self._dropped = dropped
        self._moved = moved
        self._values: OrderedDict[K, tuple[V, int]] = OrderedDict()

    def get(self, key: K) -> V | None:
        """Return the value, now the one used last; None where it is not there."""
        if key not in self._values:
            return None
        self._values.move_to_end(key)
        return self._values[key][0]

    def put(self, key: K, value: V, size: int) -> None:
        """Keep a value of `size` bytes; one that would not fit alone is not kept."""
        self.pop(key)
        if self.make_room(size):
            self._values[key] = value, size
            self._move(size)

    def pop(self, key: K) -> None:
        """Let go of a value, if it is there."""
        _, size = self._values.pop(key, (None, 0))
        self._move(-size)

    def make_room(self, amount: int) -> bool:
        """Drop values until `amount` more bytes fit, and return whether they do; drop none where they never would."""
        if amount > self.size:
            return False
        while self.held + amount > self.size:
            _, (_, size) = self._values.popitem(last=False)
            self._move(-size)
            self._dropped()
        return True

    def _move(self, amount: int) -> None:
        self.held += amount
        self._moved(amount)


class MemoryFeatures:
    """Features in this process, beside images that features make room for.

    Args:
        size: bytes of features and images together.
        telemetry: where hits, misses, evictions and bytes are counted.
    """

    def __init__(self, size: int, telemetry: Telemetry) -> None:
        """Hold nothing yet."""
        self.size = size
        self._telemetry = telemetry
        self._shelf: Shelf[FeatureKey, Features] = Shelf(
            size, telemetry.session_evictions.inc, telemetry.session_bytes.inc
        )

    async def get(self, key: FeatureKey) -> Features | None:
        """Return the features, or None; see `FeatureStore.get`."""
        features = self._shelf.get(key)
        if features is None:
            self._telemetry.session_misses.inc()
        else:
            self._telemetry.session_hits.inc()
        return features

    async def put(self, key: FeatureKey, features: Features) -> None:
        """Keep `features` where there is room; see `FeatureStore.put`."""
        self._shelf.put(key, features, size_of(features))

    def pin(self, amount: int) -> bool:
        """Take `amount` bytes for what may not be lost, and return whether they could be had; features give way."""
        if not self._shelf.make_room(amount):
            return False
        self._shelf.size -= amount
        self._telemetry.session_bytes.inc(amount)
        return True

    def unpin(self, amount: int) -> None:
        """Give back bytes that `pin` took."""
        self._shelf.size += amount
        self._telemetry.session_bytes.dec(amount)


def size_of(features: Features) -> int:
    """Return the bytes of all arrays."""
    return sum(array.nbytes for array in features.values())
