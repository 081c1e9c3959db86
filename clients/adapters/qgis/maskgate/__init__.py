"""Maskgate in QGIS: a provider of Processing algorithms."""

from __future__ import annotations

from typing import Any


def classFactory(interface: Any) -> Any:
    """Return the plugin."""
    from .provider import Plugin

    return Plugin(interface)
