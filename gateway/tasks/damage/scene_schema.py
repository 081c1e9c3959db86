"""The JSON answer about a pair of scenes, as OpenAPI shows it."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, Field

from gateway.http.answers import ClassShare, Part, Provenance, RegionAnswer
from gateway.tasks.damage.scene_clearing import Clearing
from gateway.tasks.damage.scene_pairs import Align, Alignment

SHARE_DIGITS, PIXEL_DIGITS = 6, 3
"""Behind the point: of shares of the scene, and of pixels and probabilities."""


class AlignmentAnswer(BaseModel):
    """How the post image came to lie on the pre image's grid."""

    asked: Align
    overlap: float = Field(description="Share of the pre image that the post image covers, 0 to 1", examples=[0.5149])
    shift: tuple[float, float] | None = Field(
        description="By how much the post image showed things farther to the right, and down, in pre pixels, measured "
        "after warping; null: not measured",
        examples=[(1.225, 1.229)],
    )
    confidence: float | None = Field(
        description="Share of the places compared that agree on it, 0 to 1; from 0.5 it is undone", examples=[0.667]
    )
    corrected: bool = Field(description="Whether the shift was undone")

    @classmethod
    def of(cls, alignment: Alignment) -> Self:
        """Return it as JSON shows it."""
        shift = alignment.shift
        return cls(
            asked=alignment.asked,
            overlap=round(alignment.overlap, SHARE_DIGITS),
            shift=None if shift is None else (round(shift.x, PIXEL_DIGITS), round(shift.y, PIXEL_DIGITS)),
            confidence=None if shift is None else round(shift.confidence, PIXEL_DIGITS),
            corrected=alignment.corrected,
        )


class DecloudedAnswer(Part):
    """What took clouds off before damage was looked for, and how much of what it shows instead is invented."""

    invented_share: float = Field(
        description="Of the pre image's pixels: made up in one of the images, 0 to 1", examples=[0.12]
    )
    pre_invented_share: float = Field(description="Of what the pre image shows, 0 to 1", examples=[0.0])
    post_invented_share: float = Field(description="Of what the post image shows, 0 to 1", examples=[0.12])

    @classmethod
    def of(cls, clearing: Clearing) -> Self:
        """Return it as JSON shows it."""
        model = clearing.model
        return cls(
            model=model.name,
            version=model.version,
            digest=model.digest,
            invented_share=round(float(clearing.invented.mean()), SHARE_DIGITS),
            pre_invented_share=round(clearing.pre, SHARE_DIGITS),
            post_invented_share=round(clearing.post, SHARE_DIGITS),
        )


class SceneClass(ClassShare):
    """How much of what was seen is of one class. `share` is of the pixels seen in both images."""

    area_m2: float | None = Field(description="On the ellipsoid; null: the images do not say", examples=[5149.87])
    buildings: int = Field(description="Buildings of this class", examples=[25])
    uncertain: int = Field(
        description="Of them: those whose confidence is below `uncertain_below`, or that stand on invented ground",
        examples=[2],
    )


class Uncertainty(BaseModel):
    """How sure a building's class is."""

    scores: dict[str, float] | None = Field(
        description="Probability of each class, of one and the same building; null: not assessed, or graded in parts",
        examples=[{"no-damage": 0.11, "destroyed": 0.89}],
    )
    uncertain: bool = Field(
        description="Whether its confidence is below `uncertain_below`, or a tenth of its ground or more is invented",
        examples=[False],
    )
    invented_share: float | None = Field(
        description="With `declouded`: of its ground, what the model made up that took clouds off, in one of the "
        "images, 0 to 1; null: else",
        examples=[0.0],
    )
    disagreement: float | None = Field(
        description="With `tta`: how far what is said of it is from what is said of it in a mirror, 0 to 1, total "
        "variation distance; null: else",
        examples=[0.04],
    )


class SceneRegion(RegionAnswer, Uncertainty):
    """One building."""

    area_m2: float | None = Field(description="On the ellipsoid; null: the images do not say", examples=[194.4])
    district: str | int | None = Field(
        description="`id` of the district it stands in, the first of several; null: of none, or none were sent",
        examples=["north"],
    )


class FootprintAnswer(Uncertainty):
    """One building whose footprint was sent."""

    id: str | int = Field(description="The feature's, else its number from 0", examples=["way/4711"])
    value: int | None = Field(alias="class", description="Label value; null: not assessed", examples=[4])
    name: str | None = Field(description="Of the class; null: not assessed", examples=["destroyed"])
    confidence: float | None = Field(
        description="Probability of the class, 0 to 1; null: not assessed", examples=[0.81]
    )
    observed_share: float = Field(description="Of the footprint: seen in both images, 0 to 1", examples=[1.0])
    not_assessed: bool = Field(description="Whether less than a hundredth of it was seen", examples=[False])
    pixels: int = Field(description="Of the footprint, seen in both images", examples=[540])
    area_m2: float | None = Field(
        description="Of the whole footprint, on the ellipsoid; null: the images do not say", examples=[194.4]
    )
    box: tuple[int, int, int, int] | None = Field(
        description="x0, y0, x1, y1 in pixels of what is in the image; x1 and y1 are exclusive; null: nothing is",
        examples=[(12, 40, 32, 67)],
    )
    district: str | int | None = Field(
        description="`id` of the district it stands in, the first of several; null: of none, or none were sent",
        examples=["north"],
    )
    properties: dict[str, Any] = Field(description="As they were sent", examples=[{"building": "school"}])


class DistrictClass(BaseModel):
    """What stands of one class in one district."""

    value: int = Field(examples=[4])
    name: str = Field(examples=["destroyed"])
    buildings: int = Field(examples=[17])
    area_m2: float = Field(examples=[3290.1])


class DistrictAnswer(BaseModel):
    """One district of the layer that was sent along; the last one is what stands in none, and has null for an id."""

    id: str | int | None = Field(description="The feature's, else its number from 0", examples=["north"])
    name: str | None = Field(description="Its property `name`", examples=["North Bank"])
    observed_share: float | None = Field(
        description="Of the district's area: seen in both images and classified, 0 to 1; null: of no district",
        examples=[0.97],
    )
    not_assessed: bool = Field(
        description="Whether less than a hundredth of it was seen, so that its counts say nothing", examples=[False]
    )
    buildings_not_assessed: int = Field(description="Footprints in it of which nothing was seen", examples=[0])
    classes: list[DistrictClass]


class RasterAnswer(BaseModel):
    """What was known of the ground beside the images."""

    known_share: float = Field(
        description="Of the pre image's pixels: those of which the raster says something, 0 to 1", examples=[0.98]
    )


class Geography(BaseModel):
    """Where the label map's grid lies."""

    crs: str = Field(description="Authority's code, else WKT", examples=["EPSG:26915"])
    transform: tuple[float, float, float, float, float, float] = Field(
        description="a, b, c, d, e, f of the affine from pixel corners to `crs`",
        examples=[(0.6, 0.0, 366642.6, 0.0, -0.6, 4104511.2)],
    )
    footprint: dict[str, Any] = Field(description="GeoJSON polygon of the pre image in WGS 84")


class SceneAnswer(BaseModel):
    """A damage map in numbers: of GeoTIFF, and of pictures where more is asked for than the map."""

    model: str = Field(examples=["bd-siamunet"])
    width: int = Field(examples=[20000])
    height: int = Field(examples=[20000])
    geography: Geography | None = Field(description="null: the images do not say where on Earth they lie")
    alignment: AlignmentAnswer
    observed_share: float = Field(
        description="Of the pre image's pixels: seen in both images and classified, 0 to 1", examples=[0.5149]
    )
    featureless_share: float = Field(
        description="Of the pre image's pixels: not classified because an image is blank there, or as bright and even "
        "as clouds are",
        examples=[0.0],
    )
    rasters: dict[str, RasterAnswer] = Field(
        description="`elevation`, `surface` and `landcover`, those of them that were sent"
    )
    uncertain_below: float = Field(description="Confidence below which a building is uncertain", examples=[0.5])
    seen_twice: bool = Field(description="Whether models looked at everything in a mirror too (`tta`)")
    declouded: DecloudedAnswer | None = Field(description="What took clouds off; null: nothing did")
    classes: list[SceneClass]
    districts: list[DistrictAnswer] | None = Field(description="null: no districts were sent")
    regions: list[SceneRegion] = Field(
        description="Buildings found, of at least 25 pixels, in reading order; none where footprints were sent"
    )
    footprints: list[FootprintAnswer] | None = Field(
        description="Buildings whose footprints were sent, in their order; null: none were sent"
    )
    notices: list[str]
    provenance: Provenance
    pictures: dict[str, str] = Field(default={}, description="What `include` asked for: base64 PNG by name")
    files: dict[str, str] = Field(default={}, description="What `include` asked for: base64 of other files by name")
