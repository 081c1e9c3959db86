"""What every group of settings is made of."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator

_LONGEST_SECONDS, _MOST_AT_ONCE, _MOST = 10 * 365 * 86_400, 4096, 1 << 50
_AT_ONCE = frozenset({"threads", "lanes", "turns", "connections"})


class Group(BaseModel):
    """What the groups of settings have in common: they are frozen, and know their fields and what numbers may be."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    @model_validator(mode="after")
    def _is_of_this_world(self) -> Self:
        """Refuse numbers that no clock, machine or library takes, before one of them fails on it."""
        for name, value in self:
            if isinstance(value, int | float):
                most = _LONGEST_SECONDS if name.endswith("seconds") else _MOST_AT_ONCE if name in _AT_ONCE else _MOST
                if value > most:
                    raise ValueError(f"{name} may be {most} at most")
        return self
