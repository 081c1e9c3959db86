"""Locust as a process of its own, which ends when it is told to and leaves its figures."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from maskgate_load.options import CLOSED, Options

_FOLDER = Path(__file__).resolve().parents[1]
_LEAVING_SECONDS = 30


class LoadFailed(RuntimeError):
    """Locust ended without figures; the message is the end of what it wrote."""


def run(address: str, options: Options, users: int = 1, until: Callable[[], bool] = lambda: False) -> dict[str, Any]:
    """Return what a load on the gateway at `address` came to, as `Load.to_json` writes it.

    It ends by itself, or early when `until` says so, or at Ctrl-C: then what came to pass until then is returned, and
    "interrupted" is true in it.

    Args:
        address: ``http://…`` of the gateway.
        options: what arrives.
        users: how many wait for answers side by side, where `options.arrivals` is "closed".
        until: is asked a few times a second.

    Raises:
        LoadFailed: there are no figures.
    """
    with tempfile.TemporaryDirectory() as folder:
        figures, log = Path(folder) / "figures.json", Path(folder) / "log.txt"
        command = [sys.executable, "-m", "locust", "-f", str(_FOLDER / "locustfile.py"), "--headless"]
        command += ["--host", address, "--figures", str(figures), "--logfile", str(log), "--loglevel", "WARNING"]
        command += ["--only-summary", "--exit-code-on-error", "0", *options.arguments()]
        if options.arrivals == CLOSED:
            command += ["-u", str(users), "-r", str(users), "-t", f"{max(1, round(options.seconds))}s"]
        else:
            command += ["-u", "1"]
        paths = [str(_FOLDER), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
        # A session of its own: Ctrl-C reaches us alone, and we ask it to leave once.
        process = subprocess.Popen(  # noqa: S603 a command of our own making
            command,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        interrupted = _follow(process, until)
        said = _last_words(process)
        if not figures.is_file():
            written = log.read_text(encoding="utf-8") if log.is_file() else ""
            raise LoadFailed((written + said)[-2000:] or "locust ended without a word")
        return {**json.loads(figures.read_text(encoding="utf-8")), "interrupted": interrupted}


def _last_words(process: subprocess.Popen[str]) -> str:
    """Wait until it has left, and return what it said; its figures are written before it leaves."""
    try:
        return process.communicate(timeout=_LEAVING_SECONDS)[1]
    except subprocess.TimeoutExpired:
        process.kill()
        return process.communicate()[1]


def _follow(process: subprocess.Popen[str], until: Callable[[], bool]) -> bool:
    """Wait for the end, ask for it where it is wanted earlier, and return whether a person wanted it."""
    try:
        while process.poll() is None:
            try:
                process.wait(0.25)
            except subprocess.TimeoutExpired:
                if until():
                    break
    except KeyboardInterrupt:
        return True
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
    return False
