"""A load on a gateway that runs, from its calibration to its figures; locust is a process of its own meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from maskgate_load.figures import figures
from maskgate_load.load import headers
from maskgate_load.options import CLOSED, Options
from maskgate_load.watch import Watch

_FOLDER = Path(__file__).resolve().parents[1]
_LEAVING_SECONDS = 30


class LoadFailed(RuntimeError):
    """Locust ended without figures; the message is the end of what it wrote."""


def run(
    address: str,
    options: Options,
    users: int = 1,
    until: Callable[[], bool] = lambda: False,
    report: Path | None = None,
) -> dict[str, Any]:
    """Return what a load on the gateway at `address` came to, as `Load.to_json` writes it.

    It ends by itself, or early when `until` says so, or at Ctrl-C: then what came to pass until then is returned, and
    "interrupted" is true in it.

    Args:
        address: ``http://…`` of the gateway.
        options: what arrives.
        users: how many wait for answers side by side, where `options.arrivals` is "closed".
        until: is asked a few times a second.
        report: where locust writes its own.

    Raises:
        LoadFailed: there are no figures.
    """
    with tempfile.TemporaryDirectory() as folder:
        written, log = Path(folder) / "figures.json", Path(folder) / "log.txt"
        command = [sys.executable, "-m", "locust", "-f", str(_FOLDER / "locustfile.py"), "--headless"]
        command += ["--host", address, "--figures", str(written), "--logfile", str(log), "--loglevel", "WARNING"]
        command += ["--only-summary", "--exit-code-on-error", "0", *options.arguments()]
        command += ["--html", str(report)] if report else []
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
        if not written.is_file():
            logged = log.read_text(encoding="utf-8") if log.is_file() else ""
            raise LoadFailed((logged + said)[-2000:] or "locust ended without a word")
        return {**json.loads(written.read_text(encoding="utf-8")), "interrupted": interrupted}


def capacity(address: str, options: Options, seconds: float = 8.0) -> float:
    """Return how many arrivals of this mix a gateway gets done per second when it is never without one.

    Twice as many callers as this machine has cores each wait for their answer, and do not think between clicks.

    Raises:
        LoadFailed: nothing was answered.
    """
    busy = replace(options, arrivals=CLOSED, seconds=seconds, think=0.0, emergency_share=0.0, deadline=None)
    users = 2 * (os.cpu_count() or 1)
    told = run(address, busy, users)
    if told["interrupted"]:
        raise KeyboardInterrupt
    if not told["visits"]:
        raise LoadFailed(f"nothing was answered in {seconds:.0f} s; failures: {told['failures'][:5]}")
    # When it ended, each was on average half done with what it was at.
    return float((told["visits"] + users / 2) / told["seconds"])


def measure(address: str, pid: int | None, options: Options, report: Path | None = None) -> dict[str, Any]:
    """Return the figures of a load.

    Args:
        address: ``http://…`` of the gateway.
        pid: its process, where it runs on this machine.
        options: what arrives.
        report: where locust writes its own.

    Raises:
        LoadFailed: there are no figures.
        httpx.HTTPError: the gateway does not answer.
    """
    version, models = _introduced(address)
    with Watch(address, pid, headers=headers()) as watch:
        told = run(address, options, report=report)
    return figures(told, watch.samples, version, models)


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


def _introduced(address: str) -> tuple[str, list[str]]:
    """Return the gateway's version, and the models that are ready."""
    with httpx.Client(base_url=address, headers=headers(), timeout=60) as client:
        version: Mapping[str, Any] = client.get("/v2").raise_for_status().json()
        models = client.get("/v1/models").raise_for_status().json()["models"]
    return str(version["version"]), [model["name"] for model in models if model["state"] == "ready"]
