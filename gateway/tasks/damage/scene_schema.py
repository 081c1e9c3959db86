"""The JSON answer about a pair of scenes, as OpenAPI shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

from gateway.http.answers import ClassShare, Part, Provenance, RegionAnswer
from gateway.media.geo.districts import District, DistrictCount
from gateway.media.geo.georeference import GeoGrid
from gateway.media.geo.vectors import building_areas
from gateway.repository.card import ClassSpec
from gateway.tasks.damage.scene_bands import LEAST_OBSERVED, GradedFootprints
from gateway.tasks.damage.scene_clearing import Clearing
from gateway.tasks.damage.scene_pairs import Align, Alignment, footprint
from gateway.tasks.damage.scene_pipeline import SceneMap
from gateway.vision.regions import Region

LEAST_INVENTED = 0.1
"""Share of a building's ground that is invented from which on it is uncertain, however sure the model is."""

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
            invented_share=round(float(clearing.invented.mean()), _SHARE_DIGITS),
            pre_invented_share=round(clearing.pre, _SHARE_DIGITS),
            post_invented_share=round(clearing.post, _SHARE_DIGITS),
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


def geography(grid: GeoGrid) -> Geography:
    """Return where a grid lies, as JSON shows it."""
    affine = grid.affine
    crs = grid.crs.to_string()
    return Geography(
        crs=crs,
        transform=(affine.a, affine.b, affine.c, affine.d, affine.e, affine.f),
        footprint=footprint(grid),
    )


def scene_classes(classes: Sequence[ClassSpec], found: SceneMap, below: float) -> list[SceneClass]:
    """Return pixels, share, area and buildings per class."""
    seen = max(1, sum(found.counts))
    areas: Sequence[float | None] = found.areas_m2 or [None] * len(classes)
    values = building_values(found)
    buildings = np.bincount(values, minlength=len(classes)).tolist()
    unsure = _confidences(found) < below
    if found.invented is not None:
        unsure |= found.invented >= LEAST_INVENTED
    uncertain = np.bincount(values[unsure], minlength=len(classes)).tolist()
    return [
        SceneClass(
            value=spec.value,
            name=spec.name,
            colour=spec.colour,
            pixels=pixels,
            share=round(pixels / seen, _SHARE_DIGITS),
            area_m2=None if area is None else round(area, _AREA_DIGITS),
            buildings=buildings[spec.value] if spec.value else 0,
            uncertain=uncertain[spec.value] if spec.value else 0,
        )
        for spec, pixels, area in zip(classes, found.counts, areas, strict=True)
    ]


def scene_regions(
    classes: Sequence[ClassSpec],
    found: SceneMap,
    grid: GeoGrid | None,
    stands_in: Sequence[District | None],
    below: float,
) -> list[SceneRegion]:
    """Return buildings as JSON shows them; `stands_in` has the district of each, `below` confidence is uncertain."""
    buildings = found.buildings
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
            **said,
        )
        for building, area, district, said in zip(
            buildings, areas, stands_in, region_uncertainties(classes, found, below), strict=True
        )
    ]


def building_values(found: SceneMap) -> npt.NDArray[np.int64]:
    """Return the label values of the buildings, found or given, int64 (n,); 0: not assessed."""
    if found.graded is not None:
        return found.graded.values.astype(np.int64)
    return np.array([building.value for building in found.buildings], np.int64)


def region_uncertainties(classes: Sequence[ClassSpec], found: SceneMap, below: float) -> list[dict[str, Any]]:
    """Return what `Uncertainty` has of each region of a map that found some itself."""
    said = (_region_uncertainty(classes, building, below) for building in found.buildings)
    return [one | _invented(one, share) for one, share in zip(said, _invented_shares(found), strict=True)]


def _invented_shares(found: SceneMap) -> Sequence[float | None]:
    """Return the invented share of each building; None where no clouds were taken off."""
    if found.invented is None:
        return [None] * len(building_values(found))
    return [round(float(share), _PIXEL_DIGITS) for share in found.invented]


def _invented(said: Mapping[str, Any], share: float | None) -> dict[str, Any]:
    """Return what `Uncertainty` has, as it was `said`, once it is known how much of a building's ground is invented."""
    return {"uncertain": said["uncertain"] or (share or 0.0) >= LEAST_INVENTED, "invented_share": share}


def _region_uncertainty(classes: Sequence[ClassSpec], building: Region, below: float) -> dict[str, Any]:
    """Return what `Uncertainty` has of a region as it is seen; `Region.means` are as of `Band.known`."""
    means = building.means
    said: dict[str, Any] = {"scores": None, "uncertain": (building.confidence or 0.0) < below, "disagreement": None}
    if means is None:
        return said
    scores = np.array(means[1 : len(classes)], np.float32)
    if scores.sum() > 0:
        said |= {"scores": class_scores(classes, scores / scores.sum())}
    return said | {"disagreement": means[len(classes)] if len(means) > len(classes) else None}


def _confidences(found: SceneMap) -> npt.NDArray[np.float64]:
    if found.graded is not None:
        return np.asarray(found.graded.scores.max(axis=1, initial=0), np.float64)
    return np.array([building.confidence or 0.0 for building in found.buildings], np.float64)


def footprint_areas(graded: GradedFootprints, grid: GeoGrid) -> list[float | None]:
    """Return the area of each footprint on the ellipsoid, m²; None where it lies so far away that it has none."""
    areas = grid.plane_areas(np.array([one.shape for one in graded.footprints.sent], object))
    return [round(area, _AREA_DIGITS) if isfinite(area) else None for area in areas.tolist()]


def footprint_answers(
    classes: Sequence[ClassSpec],
    found: SceneMap,
    graded: GradedFootprints,
    grid: GeoGrid | None,
    stands_in: Sequence[District | None],
    below: float,
) -> list[FootprintAnswer]:
    """Return footprints, those of `found`, as JSON shows them; the other arguments are those of `scene_regions`."""
    apart = [None] * len(graded.values) if graded.disagreement is None else graded.disagreement
    areas = [None] * len(graded.values) if grid is None else footprint_areas(graded, grid)
    columns = (
        graded.footprints.sent,
        graded.values.tolist(),
        graded.scores,
        np.round(graded.observed, _SHARE_DIGITS).tolist(),
        graded.pixels.tolist(),
        areas,
        graded.footprints.boxes.tolist(),
        stands_in,
        apart,
        _invented_shares(found),
    )
    return [
        FootprintAnswer.model_construct(
            id=sent.id,
            value=value or None,
            name=classes[value].name if value else None,
            confidence=_probability(scores.max()) if value else None,
            scores=class_scores(classes, scores) if value else None,
            uncertain=bool(value and (scores.max() < below or (invented or 0.0) >= LEAST_INVENTED)),
            invented_share=invented,
            disagreement=_probability(apart) if value and apart is not None else None,
            observed_share=observed,
            not_assessed=not value,
            pixels=pixels,
            area_m2=area,
            box=tuple(box) if any(box) else None,
            district=None if district is None else district.id,
            properties=sent.properties,
        )
        for sent, value, scores, observed, pixels, area, box, district, apart, invented in zip(*columns, strict=True)
    ]


def class_scores(classes: Sequence[ClassSpec], scores: npt.NDArray[np.float32]) -> dict[str, float]:
    """Return the probabilities of the classes above background by their names."""
    return {spec.name: _probability(score) for spec, score in zip(classes[1:], scores, strict=True)}


def _probability(value: np.floating[Any]) -> float:
    return round(float(value), _PIXEL_DIGITS)


def district_answers(classes: Sequence[ClassSpec], counted: Sequence[DistrictCount]) -> list[DistrictAnswer]:
    """Return what stands in each district, the background left out."""
    return [
        DistrictAnswer(
            id=one.district.id if one.district else None,
            name=one.district.name if one.district else None,
            observed_share=None if one.observed_share is None else round(one.observed_share, _SHARE_DIGITS),
            not_assessed=one.observed_share is not None and one.observed_share < LEAST_OBSERVED,
            buildings_not_assessed=one.buildings[0],
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
    return answer.model_dump(by_alias=True, mode="json", exclude={"regions", "footprints", "pictures", "files"})
