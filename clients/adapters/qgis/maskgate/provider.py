"""The plugin, and the provider that it registers."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsApplication, QgsProcessingProvider

from .damage import Damage


class Provider(QgsProcessingProvider):
    """Algorithms of a Maskgate gateway."""

    def id(self) -> str:
        """Return what algorithms' ids begin with."""
        return "maskgate"

    def name(self) -> str:
        """Return what the toolbox shows."""
        return "Maskgate"

    def loadAlgorithms(self) -> None:
        """Register the algorithms."""
        self.addAlgorithm(Damage())


class Plugin:
    """What QGIS loads, with a window or without."""

    def __init__(self, interface: Any) -> None:
        """Register nothing yet."""
        self._provider: Provider | None = None

    def initProcessing(self) -> None:
        """Register the provider."""
        self._provider = Provider()
        QgsApplication.processingRegistry().addProvider(self._provider)

    def initGui(self) -> None:
        """Register the provider."""
        self.initProcessing()

    def unload(self) -> None:
        """Take the provider back."""
        QgsApplication.processingRegistry().removeProvider(self._provider)
