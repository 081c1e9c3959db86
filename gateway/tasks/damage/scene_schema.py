"""The JSON answer about a pair of scenes, as OpenAPI shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from pydantic import BaseModel, Field

from gateway.http.answers import ClassShare, Provenance, RegionAnswer
from gateway.media.geo.districts import District, DistrictCount
from gateway.media.geo.georeference import GeoGrid
from gateway.media.geo.vectors import building_areas
from gateway.repository.card import ClassSpec
from gateway.tasks.damage.scene_pairs import Align, Alignment, footprint
from gateway.tasks.damage.scene_pipeline import SceneMap
from gateway.vision.regions import Region

LEAST_OBSERVED = 0.01
"""Of the ground that was to be seen: with less an answer says nothing."""

_SHARE_DIGITS, _PIXEL_DIGITS, _AREA_DIGITS = 6, 3, 2


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
            overlap=round(alignment.overlap, _SHARE_DIGITS),
            shift=None if shift is None else (round(shift.x, _PIXEL_DIGITS), round(shift.y, _PIXEL_DIGITS)),
            confidence=None if shift is None else round(shift.confidence, _PIXEL_DIGITS),
            corrected=alignment.corrected,
        )


class SceneClass(ClassShare):
    """How much of what was seen is of one class. `share` is of the pixels seen in both images."""

    area_m2: float | None = Field(description="On the ellipsoid; null: the images do not say", examples=[5149.87])
    buildings: int = Field(description="Regions of this class", examples=[25])


class SceneRegion(RegionAnswer):
    """One building."""

    area_m2: float | None = Field(description="On the ellipsoid; null: the images do not say", examples=[194.4])

    district: str | int | None = Field(
        description="`id` of the district it stands in, the first of several; null: of none, or none were sent",
        examples=["north"],
    )


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
    classes: list[DistrictClass]


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
    classes: list[SceneClass]
    districts: list[DistrictAnswer] | None = Field(description="null: no districts were sent")
    regions: list[SceneRegion] = Field(description="Buildings of at least 25 pixels, in reading order")
    notices: list[str]
    provenance: Provenance
    pictures: dict[str, str] = Field(default={}, description="What `include` asked for: base64 PNG by name")
    files: dict[str, str] = Field(default={}, description="What `include` asked for: base64 of other files by name")


def geography(grid: GeoGrid) -> Geography:
    """Return where a grid lies, as JSON shows it."""
    affine = grid.affine
    crs = grid.crs.to_string()
    return Geography(
        crs=crs,
        transform=(affine.a, affine.b, affine.c, affine.d, affine.e, affine.f),
        footprint=footprint(grid),
    )


def scene_classes(classes: Sequence[ClassSpec], found: SceneMap) -> list[SceneClass]:
    """Return pixels, share, area and buildings per class."""
    seen = max(1, sum(found.counts))
    areas: Sequence[float | None] = found.areas_m2 or [None] * len(classes)
    return [
        SceneClass(
            value=spec.value,
            name=spec.name,
            colour=spec.colour,
            pixels=pixels,
            share=round(pixels / seen, _SHARE_DIGITS),
            area_m2=None if area is None else round(area, _AREA_DIGITS),
            buildings=sum(building.value == spec.value for building in found.buildings),
        )
        for spec, pixels, area in zip(classes, found.counts, areas, strict=True)
    ]


def scene_regions(
    classes: Sequence[ClassSpec],
    buildings: Sequence[Region],
    grid: GeoGrid | None,
    stands_in: Sequence[District | None],
) -> list[SceneRegion]:
    """Return buildings as JSON shows them; `stands_in` has the district of each."""
    areas: Sequence[float | None] = [None] * len(buildings) if grid is None else building_areas(buildings, grid)
    return [
        SceneRegion.model_construct(
            polygon=building.polygon,
            holes=building.holes,
            value=building.value,
            name=classes[building.value].name,
            area=building.area,
            confidence=building.confidence,
            box=building.box,
            area_m2=None if area is None else round(area, _AREA_DIGITS),
            district=None if district is None else district.id,
        )
        for building, area, district in zip(buildings, areas, stands_in, strict=True)
    ]


def district_answers(classes: Sequence[ClassSpec], counted: Sequence[DistrictCount]) -> list[DistrictAnswer]:
    """Return what stands in each district, the background left out."""
    return [
        DistrictAnswer(
            id=one.district.id if one.district else None,
            name=one.district.name if one.district else None,
            observed_share=None if one.observed_share is None else round(one.observed_share, _SHARE_DIGITS),
            not_assessed=one.observed_share is not None and one.observed_share < LEAST_OBSERVED,
            classes=[
                DistrictClass(
                    value=spec.value,
                    name=spec.name,
                    buildings=one.buildings[spec.value],
                    area_m2=round(one.area_m2[spec.value], _AREA_DIGITS),
                )
                for spec in classes[1:]
            ],
        )
        for one in counted
    ]


def collection_members(answer: SceneAnswer) -> Mapping[str, Any]:
    """Return what a GeoJSON feature collection says besides its buildings: the JSON answer without them."""
    return answer.model_dump(by_alias=True, mode="json", exclude={"regions", "pictures", "files"})
