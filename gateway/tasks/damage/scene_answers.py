"""What a map of a pair of scenes says of classes, buildings, footprints and districts, in the words of JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt

from gateway.media.geo.districts import District, DistrictCount
from gateway.media.geo.georeference import GeoGrid
from gateway.media.geo.vectors import building_areas
from gateway.repository.card import ClassSpec
from gateway.tasks.damage.scene_bands import LEAST_OBSERVED, GradedFootprints
from gateway.tasks.damage.scene_pairs import footprint
from gateway.tasks.damage.scene_pipeline import SceneMap
from gateway.tasks.damage.scene_schema import (
    PIXEL_DIGITS,
    SHARE_DIGITS,
    DistrictAnswer,
    DistrictClass,
    FootprintAnswer,
    Geography,
    SceneAnswer,
    SceneClass,
    SceneRegion,
)
from gateway.vision.regions import Region

LEAST_INVENTED = 0.1
"""Share of a building's ground that is invented from which on it is uncertain, however sure the model is."""

_AREA_DIGITS = 2


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
            share=round(pixels / seen, SHARE_DIGITS),
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
    return [round(float(share), PIXEL_DIGITS) for share in found.invented]


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
        np.round(graded.observed, SHARE_DIGITS).tolist(),
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
    return round(float(value), PIXEL_DIGITS)


def district_answers(classes: Sequence[ClassSpec], counted: Sequence[DistrictCount]) -> list[DistrictAnswer]:
    """Return what stands in each district, the background left out."""
    return [
        DistrictAnswer(
            id=one.district.id if one.district else None,
            name=one.district.name if one.district else None,
            observed_share=None if one.observed_share is None else round(one.observed_share, SHARE_DIGITS),
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
