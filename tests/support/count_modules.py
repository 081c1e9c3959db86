"""Which modules have one importer, with their lines: `python -m tests.support.count_modules` prints them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.places import ROOT

PACKAGES = ("gateway", "export", "clients/python/src/maskgate_client", "clients/locust/maskgate_load")

ROOTS = frozenset({"__init__", "__main__", "app", "cli"})
"""What puts a program or a package together: to be imported by one of these alone is no reason to be part of it."""

TWINS = frozenset({"command", "evaluate", "recipe", "schema", "spec"})
"""What every task has, whoever imports it."""

NETWORKS = "export.networks."
"""A file each, found by their package."""


@dataclass(frozen=True, order=True)
class Lone:
    """A module that one other imports."""

    lines: int
    name: str
    importer: str


def lines_of(path: Path) -> int:
    """Return how long a file is."""
    return len(path.read_text(encoding="utf-8").splitlines())


def lone_modules() -> list[Lone]:
    """Return the modules that one other alone imports, the shortest first.

    Left out are those whose importer is one of `ROOTS`, the `TWINS` of tasks, networks, and packages.
    """
    modules = dict(_modules())
    importers: dict[str, set[str]] = {name: set() for name in modules}
    for name, path in modules.items():
        for imported in _imported(path, modules):
            importers[imported].add(name)
    return sorted(
        Lone(lines_of(path), name, importer)
        for name, path in modules.items()
        if path.stem not in TWINS | {"__init__"} and not name.startswith(NETWORKS) and len(importers[name]) == 1
        for importer in importers[name]
        if modules[importer].stem not in ROOTS
    )


def _modules() -> Iterator[tuple[str, Path]]:
    """Yield name and file of each module."""
    for package in map(Path, PACKAGES):
        for path in (ROOT / package).rglob("*.py"):
            steps = path.relative_to(ROOT / package.parent).with_suffix("").parts
            yield ".".join(steps[:-1] if path.stem == "__init__" else steps), path


def _imported(path: Path, modules: dict[str, Path]) -> Iterator[str]:
    """Yield the modules that a file imports; all imports name them from the top."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in modules else f"{node.module}" for name in inside]
        else:
            continue
        yield from (name for name in names if name in modules)


if __name__ == "__main__":
    found = lone_modules()
    print(*(f"{each.lines:4} {each.name} ← {each.importer}" for each in found), f"{len(found)} modules", sep="\n")
