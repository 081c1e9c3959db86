"""A load from its calibration to its figures, on a gateway that runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import httpx

from maskgate_load.figures import figures
from maskgate_load.load import headers
from maskgate_load.options import CLOSED, Options
from maskgate_load.process import LoadFailed, run
from maskgate_load.watch import Watch


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


def measure(address: str, pid: int | None, options: Options) -> dict[str, Any]:
    """Return the figures of a load.

    Args:
        address: ``http://…`` of the gateway.
        pid: its process, where it runs on this machine.
        options: what arrives.

    Raises:
        LoadFailed: there are no figures.
        httpx.HTTPError: the gateway does not answer.
    """
    version, models = _introduced(address)
    with Watch(address, pid) as watch:
        told = run(address, options)
    return figures(told, watch.samples, version, models)


def _introduced(address: str) -> tuple[str, list[str]]:
    """Return the gateway's version, and the models that are ready."""
    with httpx.Client(base_url=address, headers=headers(), timeout=60) as client:
        version: Mapping[str, Any] = client.get("/v2").raise_for_status().json()
        models = client.get("/v1/models").raise_for_status().json()["models"]
    return str(version["version"]), [model["name"] for model in models if model["state"] == "ready"]
