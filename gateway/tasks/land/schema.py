"""Land cover in numbers, as OpenAPI shows it."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, Field

from gateway.http.answers import ClassShare, LabelMapAnswer
from gateway.repository.card import ClassSpec
from gateway.tasks.land.pipeline import Resolution
from gateway.tasks.land.roads import Marked, RoadLength, Wanted


class LandShare(ClassShare):
    """How much of the image is of one class; what was not observed counts nowhere."""

    area_m2: float = Field(description="By the resolution in the image's middle", examples=[8125.5])


class Roads(BaseModel):
    """Length of road, measured along its centre line as the model sees it: to some 6 %, and without what trees hide."""

    length_m: float = Field(examples=[5120.4])
    near_length_m: float | None = Field(
        description="Of it, at most `near` from a building of the class `near_class`; null: no buildings were sent",
        examples=[310.0],
    )


class DistrictRoads(Roads):
    """Roads of one district; the last one is the roads in none, and has null for an id."""

    id: str | int | None = Field(description="The feature's, else its number from 0", examples=["north"])
    name: str | None = Field(description="Its property `name`", examples=["North Bank"])


class NearAnswer(BaseModel):
    """Which buildings the roads are near to."""

    near: float = Field(description="Metres from the edge of the building", examples=[20.0])
    near_class: str = Field(examples=["destroyed"])
    buildings: int = Field(description="Of that class", examples=[14])
    sent: int = Field(description="Of all classes", examples=[120])


class LandAnswer(LabelMapAnswer):
    """Land cover in numbers."""

    resolution: tuple[float, float] = Field(
        description="Metres from one pixel to the next, along a row and along a column, in the middle",
        examples=[(0.5, 0.5)],
    )
    observed_share: float = Field(description="Of all pixels, 0 to 1", examples=[1.0])
    classes: list[LandShare]  # type: ignore[assignment]  # a list that nobody adds to
    roads: Roads
    near: NearAnswer | None = Field(description="null: no buildings were sent")
    districts: list[DistrictRoads] | None = Field(description="null: no districts were sent")
    files: dict[str, str] = Field(default={}, description="What `include` asked for: base64 of other files by name")


def land_shares(classes: Sequence[ClassSpec], counts: Sequence[int], resolution: Resolution) -> list[LandShare]:
    """Return pixels, share and area per class."""
    total, pixel = sum(counts), resolution[0] * resolution[1]
    return [
        LandShare(
            value=spec.value,
            name=spec.name,
            colour=spec.colour,
            pixels=count,
            share=round(count / total, 6),
            area_m2=round(count * pixel, 2),
        )
        for spec, count in zip(classes, counts, strict=True)
    ]


def road_answers(found: Sequence[RoadLength]) -> tuple[Roads, list[DistrictRoads] | None]:
    """Return what `measure_roads` found as JSON shows it: all roads, and those of districts if there are any."""
    total, *others = found
    districts = [
        DistrictRoads(
            id=None if one.district is None else one.district.id,
            name=None if one.district is None else one.district.name,
            length_m=round(one.metres, 1),
            near_length_m=None if one.near is None else round(one.near, 1),
        )
        for one in others
    ]
    near = None if total.near is None else round(total.near, 1)
    return Roads(length_m=round(total.metres, 1), near_length_m=near), districts or None


def near_answer(marked: Marked | None, wanted: Wanted) -> NearAnswer | None:
    """Return which buildings the roads are near to, as JSON shows it."""
    if marked is None:
        return None
    return NearAnswer(near=wanted.metres, near_class=wanted.name, buildings=len(marked.shapes), sent=marked.sent)
