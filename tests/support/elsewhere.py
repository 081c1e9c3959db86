"""A file that lies elsewhere, which counts what is asked of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.errors import InputUnreachable


@dataclass
class Elsewhere:
    """A file that counts what is read of it."""

    data: bytes
    read_bytes: int = 0
    ranges: list[tuple[int, int]] = field(default_factory=list)
    calls: int = 0
    away: bool = False

    @property
    def length(self) -> int:
        return len(self.data)

    @property
    def head(self) -> bytes:
        return self.data[:4096]

    def read(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        if self.away:
            raise InputUnreachable("Away.")
        self.calls += 1
        self.ranges += ranges
        found = [self.data[start:stop] for start, stop in ranges]
        self.read_bytes += sum(map(len, found))
        return found
