"""The commands as their callers see them: help of each, and the settings in force where nothing is set."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import re
import runpy
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]

GATEWAY, CLIENT, EXPORT = "maskgate-gateway", "maskgate", "python -m export"
COMMANDS: Mapping[str, Sequence[str]] = {
    GATEWAY: ("", "serve", "settings", "key", "models", "models pull", "models push", "models verify"),
    CLIENT: ("", "example", "damage", "segment", "ct", "radiograph", "waste", "land", "restore", "ask", "models"),
    EXPORT: ("", "train", "build", "verify", "import", "evaluate", "list", "compare", "features", "hold-out"),
}
"""Command → its subcommands; the help of "" lists them, so that a new one is noticed."""

_PROJECTS = {GATEWAY: ROOT / "pyproject.toml", CLIENT: ROOT / "clients" / "python" / "pyproject.toml"}
_WIDE = "10000"
# Help of an option that leaves no room for it on its own line.
_CONTINUED = " " * 8


def seen() -> dict[str, Any]:
    """Return `help` and `settings`, from one process of its own: what its environment says is known."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MASKGATE_")}
    environment |= {"COLUMNS": _WIDE, "NO_COLOR": "1", "PYTHON_COLORS": "0", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        [sys.executable, "-m", __name__], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def normalised(text: str) -> list[str]:
    """Return a help text as Python 3.11 to 3.14 all show it, in lines.

    They differ in where lines are broken, in how often an option's argument is named, and in a default that only the
    older ones add.
    """
    lines: list[str] = []
    for line in filter(str.strip, text.splitlines()):
        words = " ".join(line.split())
        if line.startswith(_CONTINUED):
            lines[-1] += f" {words}"
        else:
            lines.append(words)
    alike = [re.sub(r"^(-\w) (\S+), (--\S+) \2", r"\1, \3 \2", line) for line in lines]
    return [line.removesuffix(" (default: True)") for line in alike]


def _main() -> None:
    helped: dict[str, Any] = {}
    for command, subcommands in COMMANDS.items():
        for subcommand in subcommands:
            status, text = _said(command, [*subcommand.split(), "--help"])
            helped[f"{command} {subcommand}".strip()] = {"exit": status, "says": normalised(text)}
    status, text = _said(GATEWAY, ["settings"])
    print(json.dumps({"help": helped, "settings": {"exit": status, "says": _portable(json.loads(text))}}))


def _said(command: str, arguments: Sequence[str]) -> tuple[int, str]:
    """Return the exit status of a command and what it prints."""
    with contextlib.redirect_stdout(io.StringIO()) as said:
        try:
            status = _entry(command)(arguments)
        except SystemExit as left:
            status = int(left.code or 0)
    return status, said.getvalue()


def _entry(command: str) -> Callable[[Sequence[str]], int]:
    if command == EXPORT:
        return _run_export
    # What an installed command calls; the file and not the installation, whose names may be of another checkout.
    scripts = tomllib.loads(_PROJECTS[command].read_text(encoding="utf-8"))["project"]["scripts"]
    module, _, function = scripts[command].partition(":")
    main: Callable[[Sequence[str]], int] = getattr(importlib.import_module(module), function)
    return main


def _run_export(arguments: Sequence[str]) -> int:
    sys.argv = ["export", *arguments]
    runpy.run_module("export", run_name="__main__", alter_sys=True)
    return 0


def _portable(settings: Any) -> Any:
    for group, name in (("engine", "lanes"), ("work", "threads")):
        if settings[group][name] == os.cpu_count():
            settings[group][name] = "<processors of the machine>"
    return settings


if __name__ == "__main__":
    _main()
