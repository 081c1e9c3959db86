"""What a pair of scenes can be answered with: pictures, and files that lie on the map."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from gateway import __version__
from gateway.http.negotiation import PNG
from gateway.media.geo.cog import NOT_OBSERVED, LabelMapFile
from gateway.media.geo.districts import District
from gateway.media.geo.georeference import GeoGrid
from gateway.media.geo.rasters import Raster
from gateway.media.geo.vector_layers import VectorLayer, feature_collection
from gateway.media.pictures.label_maps import encode_label_map, encode_overlay
from gateway.repository.card import Card
from gateway.tasks.damage.scene_bands import Band
from gateway.tasks.damage.scene_layers import building_layer, pixel_shapes
from gateway.tasks.damage.scene_pipeline import SceneMap
from gateway.tasks.damage.scene_schema import SceneAnswer, collection_members
from gateway.tasks.damage.xbd import xbd_document, xbd_metadata, xview2_zip
from gateway.vision.quicklook import Quicklook

UInt8 = npt.NDArray[np.uint8]
Picture = Literal["label_map", "overlay", "quicklook"]
SceneForm = Literal[Picture, "geojson", "geotiff", "xbd", "xview2"]

GEOJSON, TIFF, ZIP = "application/geo+json", "image/tiff", "application/zip"
DIRECT: Mapping[str, SceneForm] = {PNG: "label_map", GEOJSON: "geojson", TIFF: "geotiff", ZIP: "xview2"}
"""The forms that are answers by themselves."""

PICTURES: tuple[Picture, ...] = ("label_map", "overlay", "quicklook")
WHOLE: tuple[Picture, ...] = ("label_map", "overlay")
"""Pictures of the size of the scene, which are held decoded to be made."""

WITHOUT_NODATA: tuple[SceneForm, ...] = (*PICTURES, "xview2")
"""Forms that have no value for what was not observed, and show background there."""

_ROWS = 512
_DAMAGE = ("no-damage", "minor-damage", "major-damage", "destroyed")
# What xBD calls buildings whose damage nobody could see.
_UNCLASSIFIED = "un-classified"


def unfit(width: int, height: int, grid: GeoGrid | None, most_pixels: int, longest: int) -> dict[SceneForm, str]:
    """Return the forms that a scene cannot be answered with, and why.

    Args:
        width: of the scene, in pixels.
        height: of the scene, in pixels.
        grid: where it lies; None: nobody knows.
        most_pixels: of a picture.
        longest: side of a picture.
    """
    reasons: dict[SceneForm, str] = {}
    if grid is None:
        reasons["geojson"] = "GeoJSON says where on Earth things are, and the images do not say where they lie."
    if width * height > most_pixels or max(width, height) > longest:
        for form in WHOLE:
            reasons[form] = (
                f"A picture has at most {most_pixels:,} pixels, and {longest:,} a side; as image/tiff the label map "
                "may be larger, and include=quicklook is a small picture."
            )
    return reasons


@dataclass(frozen=True)
class MapSink:
    """Writes the label map; see `Sink`."""

    file: LabelMapFile

    def write(self, band: Band) -> None:
        """Write a band."""
        self.file.write(band.labels)


@dataclass(frozen=True)
class QuicklookSink:
    """Draws the small picture; see `Sink`."""

    quicklook: Quicklook

    def write(self, band: Band) -> None:
        """Draw a band."""
        self.quicklook.add(band.window.post, _without_nodata(band.labels))


@dataclass(frozen=True)
class Scene:
    """A scene when all is known of it that files are made from.

    Attributes:
        answer: its JSON.
        found: what the model saw.
        card: of that model.
        post: the post image, on the pre grid.
        grid: where that lies; None: nobody knows.
        label_map: the whole of it, 255 where not observed.
        quicklook: the small picture, where one is wanted.
        stands_in: the district of each building; None where it stands in none, or none were sent.
    """

    answer: SceneAnswer
    found: SceneMap
    card: Card
    post: Raster
    grid: GeoGrid | None
    label_map: LabelMapFile
    quicklook: Quicklook | None
    stands_in: Sequence[District | None]

    def encoded(self, form: SceneForm) -> bytes:
        """Return it in a form that it was granted."""
        match form:
            case "label_map":
                return encode_label_map(_without_nodata(self._labels()), self.card.palette())
            case "overlay":
                pixels, _ = self.post.read(slice(0, self.label_map.height), slice(0, self.label_map.width))
                return encode_overlay(pixels, _without_nodata(self._labels()), self.card.palette())
            case "quicklook":
                if self.quicklook is None:
                    raise ValueError("no quicklook was drawn")
                return encode_overlay(*self.quicklook.result(), self.card.palette())
            case "geojson":
                if self.grid is None:
                    raise ValueError("GeoJSON of images without geography")
                return b"".join(feature_collection(self._layer(self.grid), collection_members(self.answer)))
            case "geotiff":
                return self.label_map.geotiff([spec.name for spec in self.card.classes], self._tags())
            case "xbd":
                return b"".join(self._xbd())
            case "xview2":
                return xview2_zip(self.label_map.width, self.label_map.height, self._bands)

    def _xbd(self) -> Iterator[bytes]:
        metadata = xbd_metadata(self.label_map.width, self.label_map.height, self.grid)
        subtypes = {spec.value: spec.name for spec in self.card.classes if spec.name in _DAMAGE} | {0: _UNCLASSIFIED}
        digest = self.answer.provenance.input_digest
        return xbd_document(*pixel_shapes(self.found), self.grid, subtypes, metadata, digest)

    def _layer(self, grid: GeoGrid) -> VectorLayer:
        """Return the buildings, with their districts where some were sent."""
        stands_in = None if self.answer.districts is None else self.stands_in
        return building_layer(self.found, grid, self.card.classes, stands_in)

    def _tags(self) -> dict[str, str]:
        model = self.found.model
        return {
            "TIFFTAG_SOFTWARE": f"Maskgate {__version__}",
            "MODEL": model.name,
            "MODEL_VERSION": str(model.version),
            "MODEL_DIGEST": model.digest,
            "OBSERVED_SHARE": str(self.answer.observed_share),
            "NOTICES": "; ".join(self.answer.notices),
        }

    def _labels(self) -> UInt8:
        return self.label_map.read(slice(0, self.label_map.height), slice(0, self.label_map.width))

    def _bands(self) -> Iterator[UInt8]:
        height, columns = self.label_map.height, slice(0, self.label_map.width)
        return (self.label_map.read(slice(y, min(y + _ROWS, height)), columns) for y in range(0, height, _ROWS))


def _without_nodata(labels: UInt8) -> UInt8:
    """Return a label map whose pixels that were not observed are background, as pictures have no other value."""
    return np.where(labels == NOT_OBSERVED, np.uint8(0), labels)
