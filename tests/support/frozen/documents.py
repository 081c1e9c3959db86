"""What callers see, as JSON documents that are stored and compared."""

from __future__ import annotations

import json
from difflib import unified_diff
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[2] / "api" / "frozen" / "data"
RENEW = "python -m tests.support.frozen --renew"

_INLINE = 100
_RELATIVE, _ABSOLUTE = 2e-4, 1e-6
# Of places the relative tolerance would be metres; of means of pixels it would be less than a level.
_WITHIN = dict.fromkeys(("coordinates", "transform", "affine"), 2e-7) | {"about": 1.0}


def difference(name: str, found: Any) -> str:
    """Return how a document differs from the stored one of its name, as a unified diff; empty where it does not.

    Floats may differ by 0.02 %, places by 2e-7 of their unit, means of pixels by 1: another processor adds in another
    order.
    """
    path = FOLDER / f"{name}.json"
    stored = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    before, after = (written(value).splitlines() for value in (stored, settled(_plain(found), stored)))
    return "\n".join(unified_diff(before, after, f"stored {path.name}", "found now", n=4, lineterm=""))


def renew(name: str, found: Any) -> bool:
    """Store a document, and return whether that changed anything."""
    path = FOLDER / f"{name}.json"
    if not difference(name, found):
        return False
    path.write_text(written(_plain(found)), encoding="utf-8")
    return True


def settled(found: Any, stored: Any, within: float | None = None) -> Any:
    """Return `found` with the stored floats where its own are as good as equal to them.

    Args:
        found: a document as JSON has it.
        stored: another.
        within: how far floats may be apart; None: as `difference` says.
    """
    if isinstance(found, dict) and isinstance(stored, dict):
        return {key: settled(value, stored.get(key), _WITHIN.get(key, within)) for key, value in found.items()}
    if isinstance(found, list) and isinstance(stored, list):
        padded = stored + [None] * (len(found) - len(stored))
        return [settled(value, other, within) for value, other in zip(found, padded, strict=False)]
    if isinstance(found, float) and isinstance(stored, float):
        near = max(_ABSOLUTE, _RELATIVE * abs(stored)) if within is None else within
        return stored if abs(found - stored) <= near else found
    return found


def written(value: Any, indent: int = 0) -> str:
    """Return a document as JSON text, indented by one, what is short on one line."""
    line = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or not value:
        return line
    if len(line) + indent <= _INLINE and not any(isinstance(v, dict) for v in _members(value)):
        return line
    inner = "\n" + " " * (indent + 1)
    if isinstance(value, list):
        return f"[{inner}" + f",{inner}".join(written(v, indent + 1) for v in value) + f"\n{' ' * indent}]"
    members = (f"{json.dumps(key, ensure_ascii=False)}: {written(v, indent + 1)}" for key, v in value.items())
    return f"{{{inner}" + f",{inner}".join(members) + f"\n{' ' * indent}}}"


def _members(value: dict[str, Any] | list[Any]) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value


def _plain(value: Any) -> Any:
    """Return a document as JSON has it: no tuples, text for keys, floats of nine digits."""

    def rounded(part: Any) -> Any:
        if isinstance(part, float):
            return float(f"{part:.9g}")
        if isinstance(part, dict):
            return {key: rounded(member) for key, member in part.items()}
        return [rounded(member) for member in part] if isinstance(part, list) else part

    return rounded(json.loads(json.dumps(value)))
