"""Damage of two raster layers, by `POST /v1/damage`."""

from __future__ import annotations

import json
import os
from base64 import b64decode
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen
from uuid import uuid4

from qgis.core import (
    QgsJsonExporter,
    QgsProcessing,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsProject,
    QgsVectorLayer,
)

_URL = "http://127.0.0.1:8080"
# A scene may take the gateway four hours.
_SECONDS = 4 * 3600 + 30
_BESIDE = {".qml": "geotiff_qml", ".tif.aux.xml": "geotiff_aux"}


class Damage(QgsProcessingAlgorithm):
    """Building damage of a pair of raster layers."""

    def createInstance(self) -> Damage:
        """Return another one."""
        return Damage()

    def name(self) -> str:
        """Return the id within the provider."""
        return "damage"

    def displayName(self) -> str:
        """Return what the toolbox shows."""
        return "Building damage"

    def shortHelpString(self) -> str:
        """Return what the dialogue says."""
        return (
            "Sends two GeoTIFFs, from before and after a disaster, to a Maskgate gateway. Buildings, what was observed "
            "and how the images were aligned come back as a GeoPackage, coloured by damage, and the damage map as a "
            "GeoTIFF. Footprints are graded in the place of buildings found; districts count them. Gateway and key may "
            "be named by MASKGATE_URL and MASKGATE_KEY."
        )

    def initAlgorithm(self, configuration: Any = None) -> None:
        """Declare the parameters."""
        polygons = [QgsProcessing.TypeVectorPolygon]
        for parameter in (
            QgsProcessingParameterRasterLayer("PRE", "Before"),
            QgsProcessingParameterRasterLayer("POST", "After"),
            QgsProcessingParameterFeatureSource("FOOTPRINTS", "Footprints", polygons, optional=True),
            QgsProcessingParameterFeatureSource("DISTRICTS", "Districts", polygons, optional=True),
            QgsProcessingParameterString("MODEL", "Model", optional=True),
            QgsProcessingParameterString("URL", "Gateway", os.environ.get("MASKGATE_URL", _URL)),
            QgsProcessingParameterFileDestination("BUILDINGS", "Buildings", "GeoPackage (*.gpkg)"),
            QgsProcessingParameterRasterDestination("MAP", "Damage map", optional=True, createByDefault=False),
        ):
            self.addParameter(parameter)

    def processAlgorithm(self, parameters: dict[str, Any], context: Any, feedback: Any) -> dict[str, Any]:
        """Ask the gateway, and save what it answers."""
        parts = {name.lower(): self._image(parameters, name, context) for name in ("PRE", "POST")}
        for name in ("FOOTPRINTS", "DISTRICTS"):
            if (source := self.parameterAsSource(parameters, name, context)) is not None:
                parts[name.lower()] = _geojson(source)
        buildings = Path(self.parameterAsFileOutput(parameters, "BUILDINGS", context))
        target = self.parameterAsOutputLayer(parameters, "MAP", context)
        include = ["gpkg", *(["geotiff", *_BESIDE.values()] if target else [])]
        query = [("include", form) for form in include] + [("output_crs", "source")]
        if model := self.parameterAsString(parameters, "MODEL", context):
            query.append(("model", model))
        url = self.parameterAsString(parameters, "URL", context).rstrip("/")
        answer = _ask(f"{url}/v1/damage?{urlencode(query)}", parts)
        for notice in answer["notices"]:
            feedback.pushInfo(notice)
        files = {name: b64decode(content) for name, content in answer["files"].items()}
        buildings.write_bytes(files["gpkg"])
        for name in ("buildings", "districts"):
            layer = QgsVectorLayer(f"{buildings}|layername={name}", name, "ogr")
            if layer.isValid():
                feedback.pushInfo(f"{layer.featureCount()} {name}")
                _show(context, layer)
        if not target:
            return {"BUILDINGS": str(buildings)}
        Path(target).write_bytes(files["geotiff"])
        for ending, form in _BESIDE.items():
            Path(target).with_suffix(ending).write_bytes(files[form])
        return {"BUILDINGS": str(buildings), "MAP": target}

    def _image(self, parameters: dict[str, Any], name: str, context: Any) -> bytes:
        layer = self.parameterAsRasterLayer(parameters, name, context)
        path = Path(layer.source()) if layer is not None else None
        if path is None or not path.is_file():
            raise QgsProcessingException(f"{name} is no file on this machine; save it as GeoTIFF first")
        return path.read_bytes()


def _geojson(source: Any) -> bytes:
    """Return features as GeoJSON in WGS 84."""
    exporter = QgsJsonExporter()
    exporter.setSourceCrs(source.sourceCrs())
    return str(exporter.exportFeatures(list(source.getFeatures()))).encode()


def _ask(url: str, parts: dict[str, bytes]) -> dict[str, Any]:
    """Return the JSON answer to a multipart body."""
    boundary = uuid4().hex
    body = b"".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}"\r\n\r\n'.encode()
        + data
        + b"\r\n"
        for name, data in parts.items()
    )
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}", "Accept": "application/json"}
    if key := os.environ.get("MASKGATE_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    if not url.startswith(("http://", "https://")):
        raise QgsProcessingException("The gateway is named by its address, http://… or https://…")
    request = Request(url, body + f"--{boundary}--\r\n".encode(), headers)  # noqa: S310 - checked above
    try:
        with urlopen(request, timeout=_SECONDS) as response:  # noqa: S310
            answer: dict[str, Any] = json.load(response)
            return answer
    except HTTPError as error:
        raise QgsProcessingException(_problem(error)) from error
    except URLError as error:
        raise QgsProcessingException(f"The gateway does not answer: {error.reason}") from error


def _problem(error: HTTPError) -> str:
    """Return what a problem document says."""
    try:
        document = json.load(error)
        return f"{document['title']}: {document['detail']} ({document['request_id']})"
    except (ValueError, KeyError):
        return f"The gateway answered {error.code}"


def _show(context: Any, layer: Any) -> None:
    """Have a layer added to the project when all is done, as its file says it is drawn."""
    layer.loadDefaultStyle()
    context.temporaryLayerStore().addMapLayer(layer)
    details = QgsProcessingContext.LayerDetails(layer.name(), context.project() or QgsProject.instance(), layer.name())
    context.addLayerToLoadOnCompletion(layer.id(), details)
