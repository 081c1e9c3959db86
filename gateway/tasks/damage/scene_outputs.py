"""What a pair of scenes can be answered with: pictures, and files that lie on the map."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from gateway import __version__
from gateway.http.parameters import PNG
from gateway.media.geo.cog import NO_CONFIDENCE, NOT_OBSERVED, CogFile
from gateway.media.geo.districts import District, DistrictCount
from gateway.media.geo.geopackage import geopackage
from gateway.media.geo.georeference import GeoGrid
from gateway.media.geo.rasters import Raster
from gateway.media.geo.vector_files import flatgeobuf, geoparquet, lacks_flatgeobuf, lacks_geoparquet
from gateway.media.geo.vector_layers import VectorLayer, feature_collection
from gateway.media.pictures.overlays import encode_overlay
from gateway.media.pictures.png import encode_label_map
from gateway.repository.card import Card
from gateway.tasks.damage.scene_answers import collection_members
from gateway.tasks.damage.scene_bands import Band, Observation
from gateway.tasks.damage.scene_layers import (
    alignment_layer,
    building_layer,
    district_layer,
    observed_layer,
    pixel_shapes,
)
from gateway.tasks.damage.scene_pipeline import SceneMap
from gateway.tasks.damage.scene_schema import SceneAnswer
from gateway.tasks.damage.scene_styles import attribute_table, building_style, map_style
from gateway.tasks.damage.xbd import xbd_document, xbd_metadata, xview2_zip
from gateway.vision.quicklook import Quicklook

if TYPE_CHECKING:
    from rasterio.crs import CRS

UInt8 = npt.NDArray[np.uint8]
Picture = Literal["label_map", "overlay", "quicklook"]
SceneForm = Literal[
    Picture,
    "geojson",
    "geotiff",
    "confidence",
    "gpkg",
    "flatgeobuf",
    "geoparquet",
    "geotiff_qml",
    "geotiff_sld",
    "geotiff_aux",
    "xbd",
    "xview2",
]

GEOJSON, TIFF, ZIP = "application/geo+json", "image/tiff", "application/zip"
GPKG, FLATGEOBUF, GEOPARQUET = (
    "application/geopackage+sqlite3",
    "application/vnd.flatgeobuf",
    "application/vnd.apache.parquet",
)
DIRECT: Mapping[str, SceneForm] = {
    PNG: "label_map",
    GEOJSON: "geojson",
    TIFF: "geotiff",
    ZIP: "xview2",
    GPKG: "gpkg",
    FLATGEOBUF: "flatgeobuf",
    GEOPARQUET: "geoparquet",
}
"""The forms that are answers by themselves."""

TABLES: tuple[SceneForm, ...] = ("gpkg", "flatgeobuf", "geoparquet")
"""Forms that may be in any coordinate reference system."""

DISTRICTED: tuple[SceneForm, ...] = ("geojson", *TABLES)
"""Forms that say in which district a building stands."""

PICTURES: tuple[Picture, ...] = ("label_map", "overlay", "quicklook")
WHOLE: tuple[Picture, ...] = ("label_map", "overlay")
"""Pictures of the size of the scene, which are held decoded to be made."""

WITHOUT_NODATA: tuple[SceneForm, ...] = (*PICTURES, "xview2")
"""Forms that have no value for what was not observed, and show background there."""

_ROWS = 512
_DAMAGE = ("no-damage", "minor-damage", "major-damage", "destroyed")
_ON_EARTH: Mapping[SceneForm, str] = {
    "geojson": "GeoJSON",
    "gpkg": "GeoPackage",
    "flatgeobuf": "FlatGeobuf",
    "geoparquet": "GeoParquet",
}
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
    lacking: dict[SceneForm, str | None] = {"flatgeobuf": lacks_flatgeobuf(), "geoparquet": lacks_geoparquet()}
    reasons: dict[SceneForm, str] = {form: reason for form, reason in lacking.items() if reason}
    if grid is None:
        for form, name in _ON_EARTH.items():
            reasons[form] = f"{name} says where on Earth things are, and the images do not say where they lie."
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

    file: CogFile

    def write(self, band: Band) -> None:
        """Write a band."""
        self.file.write(band.labels)


@dataclass(frozen=True)
class ConfidenceSink:
    """Writes how sure the label map is; see `Sink`.

    Attributes:
        file: that it is written to.
        invented: bool (H, W) of the scene, where an image shows what a model made up; None: nowhere.
    """

    file: CogFile
    invented: npt.NDArray[np.bool_] | None = None

    def write(self, band: Band) -> None:
        """Write a band."""
        # 0 stands for what was not observed.
        sureness = np.maximum(band.sureness, 1)
        if self.invented is not None:
            sureness[self.invented[band.top : band.stop]] = 1
        self.file.write(np.where(band.seen, sureness, NO_CONFIDENCE).astype(np.uint8))


@dataclass(frozen=True)
class QuicklookSink:
    """Draws the small picture; see `Sink`."""

    quicklook: Quicklook

    def write(self, band: Band) -> None:
        """Draw a band."""
        if band.post is None:
            raise ValueError("a band without the image that is drawn")
        self.quicklook.add(band.post, _without_nodata(band.labels))


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
        sureness: how sure that is, where it is wanted.
        quicklook: the small picture, where one is wanted.
        stands_in: the district of each building; None where it stands in none, or none were sent.
        counts: what stands in each district; None: none were sent.
        observation: where something was seen.
        post_grid: where the post image lies, as its file has it; None: nobody knows.
        output_crs: of GeoPackage and its like.
    """

    answer: SceneAnswer
    found: SceneMap
    card: Card
    post: Raster
    grid: GeoGrid | None
    label_map: CogFile
    sureness: CogFile | None
    quicklook: Quicklook | None
    stands_in: Sequence[District | None]
    counts: Sequence[DistrictCount] | None
    observation: Observation
    post_grid: GeoGrid | None
    output_crs: CRS

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
                return b"".join(feature_collection(self._layer(), collection_members(self.answer)))
            case "confidence":
                if self.sureness is None:
                    raise ValueError("no confidence was written")
                invented = {} if self.answer.declouded is None else {"INVENTED": "1, as the least confidence"}
                said = {"CONFIDENCE": "255 is certainty, 0 not observed", **invented}
                return self.sureness.geotiff((), {**self._tags(), **said})
            case "gpkg":
                styles = {"buildings": building_style(self.card.classes)}
                return geopackage(self._layers(), self.output_crs, styles, json.dumps(self._tags()))
            case "flatgeobuf":
                return flatgeobuf(self._layer(), self.output_crs)
            case "geoparquet":
                return geoparquet(self._layer(), self.output_crs)
            case "geotiff_qml":
                return map_style(self.card.classes).qml.encode()
            case "geotiff_sld":
                return map_style(self.card.classes).sld.encode()
            case "geotiff_aux":
                return attribute_table(self.card.classes, self.found.counts).encode()
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

    def _layer(self) -> VectorLayer:
        """Return the buildings, with their districts where some were sent."""
        stands_in = None if self.counts is None else self.stands_in
        below = self.answer.uncertain_below
        return building_layer(
            self.found, self._placed(self.grid), self.card.classes, stands_in, below, twice=self.answer.seen_twice
        )

    def _layers(self) -> list[VectorLayer]:
        """Return the buildings, and what else there is to be known of the scene on a map."""
        grid, post = self._placed(self.grid), self._placed(self.post_grid)
        return [
            self._layer(),
            *([] if self.counts is None else [district_layer(self.counts, self.card.classes)]),
            observed_layer(self.observation, grid, self.answer.observed_share),
            alignment_layer(self.answer.alignment, grid, post),
        ]

    def _placed(self, grid: GeoGrid | None) -> GeoGrid:
        if grid is None:
            raise ValueError("a layer of images without geography")
        return grid

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
