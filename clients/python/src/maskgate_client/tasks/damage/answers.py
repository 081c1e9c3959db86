"""What was found in pairs of images, typed. Coordinates are (x, y) pixels of the pre image, origin top left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from maskgate_client.answers import ClassShare, LabelMapReport, Provenance, Region


@dataclass(frozen=True)
class Origin:
    """Where an answer comes from, by its headers.

    Attributes:
        model: name of the model.
        version: its version.
        digest: ``sha256:…`` of its file.
        request_id: what to quote to the operator.
        timing: milliseconds per stage (decode, queue, infer, finish, encode).
    """

    model: str
    version: int
    digest: str
    request_id: str
    timing: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class DamageMap:
    """A label map.

    Attributes:
        labels: uint8 (height, width): 0 background, 1 no damage, 2 minor, 3 major, 4 destroyed.
        palette: uint8 (colours, 3), RGB, indexed by label.
        png: the indexed PNG file as the gateway sent it.
        notices: what the gateway did to the input that the caller should know of.
        origin: model, request and timing.
    """

    labels: NDArray[np.uint8]
    palette: NDArray[np.uint8]
    png: bytes
    notices: tuple[str, ...]
    origin: Origin


@dataclass(frozen=True)
class DamageReport(LabelMapReport):
    """The buildings of a pair and their damage: each of `regions` is one."""

    def buildings(self) -> dict[str, int]:
        """Return the number of buildings per class name, background left out."""
        return self.counts()


Align = Literal["auto", "off", "require"]
"""Whether a shift that the images themselves show is undone: where it is sure, never, or else refuse."""

Tta = Literal["flip"]
"""Augmentation at the time of the test: models look at everything in a mirror too."""

SceneForm = Literal[
    "label_map",
    "overlay",
    "quicklook",
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
"""Pictures (PNG) of the scene's size, and a small one; features; the label map and its confidence as COG; more
formats of features; beside the COG the style of QGIS, that of the OGC, and GDAL's table of classes; xBD's JSON; a zip
for xView2."""

SceneFile = Literal["geojson", "geotiff", "xview2", "gpkg", "flatgeobuf", "geoparquet"]
"""What can be had as a file of its own."""


@dataclass(frozen=True)
class Alignment:
    """How the post image came to lie on the pre image's grid.

    Attributes:
        asked: as it was asked for.
        overlap: share of the pre image that the post image covers, from 0 to 1.
        shift: (right, down) in pixels, as the images show it; None where it was not measured.
        confidence: share of the places compared that agree on it.
        corrected: whether it was undone.
    """

    asked: Align
    overlap: float
    shift: tuple[float, float] | None
    confidence: float | None
    corrected: bool


@dataclass(frozen=True)
class Declouded:
    """The model that took clouds off, and how much of the images it made up in their place, from 0 to 1.

    `invented_share` is of the pixels that one of the two images shows made up.
    """

    model: str
    version: int
    digest: str
    invented_share: float
    pre_invented_share: float
    post_invented_share: float


@dataclass(frozen=True)
class SceneClass(ClassShare):
    """How much of what both images show is of one class; `area_m2` is None where they do not say where they lie.

    Of its `buildings` some are `uncertain`.
    """

    area_m2: float | None
    buildings: int
    uncertain: int


@dataclass(frozen=True)
class SceneBuilding(Region):
    """One building.

    Attributes:
        area_m2: None where the images do not say where they lie.
        district: id of the district it stands in; None of none.
        scores: probability of each class by its name; None where it was graded in parts.
        uncertain: whether its confidence is below the threshold, or a tenth of its ground or more is invented.
        disagreement: how far what is said of it is from what is said of it in a mirror, from 0 to 1; None without.
        invented_share: of its ground, what was made up in the place of clouds, from 0 to 1; None where they stayed.
    """

    area_m2: float | None
    district: str | int | None
    scores: Mapping[str, float] | None
    uncertain: bool
    disagreement: float | None
    invented_share: float | None


@dataclass(frozen=True)
class Footprint:
    """One building whose footprint was sent; `value`, `name`, `confidence` and `scores` are None where not assessed.

    Attributes:
        id: the feature's, else its number from 0.
        value: of the class.
        name: of the class.
        confidence: probability of the class, from 0 to 1.
        scores: probability of each class by its name.
        uncertain: whether its confidence is below the threshold, or a tenth of its ground or more is invented.
        disagreement: how far what is said of it is from what is said of it in a mirror, from 0 to 1; None without.
        invented_share: of its ground, what was made up in the place of clouds, from 0 to 1; None where they stayed.
        observed_share: of the footprint what both images show, from 0 to 1.
        not_assessed: whether that is less than a hundredth.
        pixels: of the footprint, that both images show.
        area_m2: of the whole footprint; None where the images do not say where they lie.
        box: (x0, y0, x1, y1) in pixels of what is in the image; None where nothing is.
        district: id of the district it stands in; None of none.
        properties: as they were sent.
    """

    id: str | int
    value: int | None
    name: str | None
    confidence: float | None
    scores: Mapping[str, float] | None
    uncertain: bool
    disagreement: float | None
    invented_share: float | None
    observed_share: float
    not_assessed: bool
    pixels: int
    area_m2: float | None
    box: tuple[int, int, int, int] | None
    district: str | int | None
    properties: Mapping[str, Any]


@dataclass(frozen=True)
class DistrictClass:
    """What stands of one class in one district."""

    value: int
    name: str
    buildings: int
    area_m2: float


@dataclass(frozen=True)
class District:
    """One district; that of what stands in none has neither id nor name."""

    id: str | int | None
    name: str | None
    classes: tuple[DistrictClass, ...]


@dataclass(frozen=True)
class SceneReport:
    """The buildings of a pair of scenes and their damage.

    Attributes:
        model: name of the model.
        width: of the label map, in pixels.
        height: of the label map, in pixels.
        crs: coordinate reference system of the pre image; None where it does not say where it lies.
        footprint: outline of the pre image as a GeoJSON polygon; None as above.
        declouded: what took clouds off; None: nothing did.
        alignment: how the images came to lie on each other.
        observed_share: of the pixels, those that both images show, from 0 to 1.
        featureless_share: of the pixels, those left out as blank or clouded.
        classes: every class, in the order of their values.
        districts: counts per district; None where none were sent.
        buildings: those found, in reading order; none where footprints were sent.
        footprints: buildings whose footprints were sent, in their order; None where none were.
        rasters: of what is known of the ground, name → share of the pixels of which it says something, from 0 to 1.
        notices: what the gateway did to the input, and what to beware of.
        provenance: weights, engine and input.
        pictures: PNG files by name, those that were asked for.
        files: other files by name, those that were asked for.
        document: the JSON answer without pictures and files.
    """

    model: str
    width: int
    height: int
    crs: str | None
    footprint: Mapping[str, Any] | None
    declouded: Declouded | None
    alignment: Alignment
    observed_share: float
    featureless_share: float
    classes: tuple[SceneClass, ...]
    districts: tuple[District, ...] | None
    buildings: tuple[SceneBuilding, ...]
    footprints: tuple[Footprint, ...] | None
    rasters: Mapping[str, float]
    notices: tuple[str, ...]
    provenance: Provenance
    pictures: Mapping[str, bytes]
    files: Mapping[str, bytes]
    document: Mapping[str, Any]

    def counts(self) -> dict[str, int]:
        """Return the number of buildings per class name, background left out."""
        return {one.name: one.buildings for one in self.classes if one.value > 0}
