"""Selected objects in numbers, as OpenAPI shows them: run lengths, outlines, and COCO's annotations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel, Field

from gateway.http.answers import Provenance
from gateway.sessions.store import Session
from gateway.tasks.interactive.selectors import Selection
from gateway.tasks.interactive.session_clicks import prompts_of, written
from gateway.vision.clicks import Box
from gateway.vision.masks import ObjectMask
from gateway.vision.outlines import compress, outlines, run_lengths

Ring = list[list[int]]
Corners = tuple[int, int, int, int]


class RunLengths(BaseModel):
    """A mask as COCO codes it, column by column; `pycocotools.mask.decode` reads it."""

    size: tuple[int, int] = Field(description="Height and width of the image", examples=[(321, 481)])
    counts: str = Field(description="Compressed run lengths", examples=["]TT15Z9<D;E1N2O001N"])


class PolygonAnswer(BaseModel):
    """One part of an object, a valid polygon: a pixel (x, y) is the square from (x, y) to (x + 1, y + 1)."""

    polygon: Ring = Field(
        description="Outline along the edges of its pixels", examples=[[[12, 40], [32, 40], [32, 67], [12, 67]]]
    )
    holes: list[Ring] = Field(description="Outlines of what it encloses", examples=[[]])
    area: int = Field(description="Pixels", examples=[540])


class CandidateAnswer(BaseModel):
    """One of the things that a click without a box may mean."""

    rle: RunLengths
    box: Corners | None = Field(description="As of the object", examples=[(218, 42, 371, 321)])
    area: int = Field(description="Pixels", examples=[21544])
    score: float = Field(
        description="How far the mask found again in its own box is the same, times its mean probability",
        examples=[0.9012],
    )


class ObjectAnswer(BaseModel):
    """One object."""

    value: int = Field(description="Value in the PNG", examples=[1])
    rle: RunLengths
    polygons: list[PolygonAnswer] = Field(
        description="What `rle` says, to within the pixels of `simplify`; in reading order"
    )
    box: Corners | None = Field(
        description="x0, y0, x1, y1, as a prompt takes it: x1 and y1 lie a pixel beyond the last one; "
        "null: nothing was found",
        examples=[(218, 42, 371, 321)],
    )
    area: int = Field(description="Pixels", examples=[21544])
    score: float | None = Field(
        description="Mean probability of its pixels, 0 to 1; null: a tool's, or nothing was found", examples=[0.9312]
    )
    threshold: float | None = Field(description="Pixels of a probability above it are the object's", examples=[0.5])
    crop: Corners | None = Field(
        description="What the model was shown, as `box`; it may leave the image", examples=[(188, 12, 401, 351)]
    )
    notices: list[str] = Field(description="How the prompt was taken", examples=[[]])
    candidates: list[CandidateAnswer] = Field(
        default=[],
        description="Of clicks without a box: what they may mean, the likeliest first, which is the object itself",
    )


class CocoImage(BaseModel):
    """The image, as COCO lists it."""

    id: int = 1
    width: int
    height: int
    file_name: str = Field(description="The image's digest: file names are not kept", examples=["sha256:9f2b…"])


class CocoAnnotation(BaseModel):
    """One object, as COCO lists it."""

    id: int
    image_id: int = 1
    category_id: int = 1
    segmentation: RunLengths
    area: int
    bbox: Corners = Field(description="x, y, width, height")
    iscrowd: int = 0
    score: float | None = None


class CocoCategory(BaseModel):
    """What all objects are, since a click does not say what it is on."""

    id: int = 1
    name: str = "object"


class CocoDocument(BaseModel):
    """An annotation file of one image."""

    images: list[CocoImage]
    annotations: list[CocoAnnotation] = Field(description="Without objects of which nothing was found")
    categories: list[CocoCategory] = [CocoCategory()]


class MaskProvenance(Provenance):
    """What made the masks; `input_digest` is the image's alone."""

    encoder_digest: str | None = Field(
        description="SHA-256 of the encoder's model file, where the model has an encoder", examples=["sha256:77ab…"]
    )


class MaskAnswer(BaseModel):
    """Selected objects in numbers."""

    model: str = Field(examples=["click-lite0"])
    width: int = Field(examples=[481])
    height: int = Field(examples=[321])
    objects: list[ObjectAnswer] = Field(description="In the order of the prompts")
    object: int | None = Field(
        default=None, description="In a session: number of the object that changed", examples=[1]
    )
    notices: list[str] = Field(description="What was done to the image")
    provenance: MaskProvenance
    pictures: dict[str, str] = Field(
        default={}, description="What `include` asked for: base64 PNG by name", examples=[{}]
    )
    coco: CocoDocument | None = Field(default=None, description="Where `include` asked for it")


def object_answer(value: int, selection: Selection, simplify: float = 0) -> ObjectAnswer:
    """Return one object as JSON shows it; see `outlines` for `simplify`."""
    mask = selection.mask
    return ObjectAnswer(
        value=value,
        rle=_run_lengths(mask),
        polygons=[
            PolygonAnswer.model_construct(polygon=part.polygon, holes=part.holes, area=part.area)
            for part in outlines(mask, simplify)
        ],
        box=_corners(mask.box),
        area=mask.area,
        score=selection.score,
        threshold=selection.threshold,
        crop=_corners(selection.crop.box if selection.crop else None),
        notices=list(selection.notices),
        candidates=[
            CandidateAnswer(rle=_run_lengths(each.mask), box=_corners(each.mask.box), area=each.mask.area, score=score)
            for score, each in selection.candidates
        ],
    )


def coco_document(objects: Sequence[ObjectAnswer], width: int, height: int, digest: str) -> CocoDocument:
    """Return objects as a COCO annotation file of the image of that digest."""
    return CocoDocument(
        images=[CocoImage(width=width, height=height, file_name=digest)],
        annotations=[
            CocoAnnotation(
                id=found.value,
                segmentation=found.rle,
                area=found.area,
                bbox=(x0, y0, x1 - x0, y1 - y0),
                score=found.score,
            )
            for found in objects
            if found.box is not None
            for x0, y0, x1, y1 in [found.box]
        ],
    )


def _run_lengths(mask: ObjectMask) -> RunLengths:
    return RunLengths(size=(mask.height, mask.width), counts=compress(run_lengths(mask)))


def _corners(box: Box | None) -> Corners | None:
    """Return a box as answers have it, the far bounds exclusive."""
    return None if box is None else (box.x0, box.y0, box.x1 + 1, box.y1 + 1)


class SessionAnswer(BaseModel):
    """A session as it stands."""

    id: str = Field(description="As in its address; who has it and the tenant's key has the session")
    expires: datetime = Field(description="Unless it is used before")
    revision: int = Field(description="How often its clicks changed", examples=[3])
    width: int = Field(examples=[481])
    height: int = Field(examples=[321])
    image: str = Field(description="SHA-256 of the image as it was sent", examples=["sha256:9f2b…"])
    model: str = Field(description="Answers until the session ends", examples=["click-lite0"])
    version: int | None = Field(description="null: of a tool", examples=[1])
    digest: str | None = Field(description="SHA-256 of the model file; null: of a tool", examples=["sha256:4f0c…"])
    threshold: float | None = Field(description="null: the model's own", examples=[0.5])
    objects: list[dict[str, Any]] = Field(
        description="What the clicks add up to: a prompt per object, in the order of their values in the mask",
        examples=[[{"box": [218, 42, 370, 320], "positive": [[298, 144]]}]],
    )
    clicks: int = Field(description="How many steps can be taken back", examples=[1])
    notices: list[str] = Field(description="What was done to the image")
    answer: MaskAnswer | None = Field(default=None, description="To the first prompt, where the session began with one")


def session_answer(session: Session, idle_seconds: float, answer: MaskAnswer | None = None) -> SessionAnswer:
    """Return a session, used just now, as it stands."""
    return SessionAnswer(
        id=session.id,
        expires=datetime.now(UTC) + timedelta(seconds=idle_seconds),
        revision=session.revision,
        width=session.width,
        height=session.height,
        image=session.image,
        model=session.model,
        version=session.version,
        digest=session.digest,
        threshold=session.threshold,
        objects=[dict(written(prompt)) for prompt in prompts_of(session)],
        clicks=len(session.events),
        notices=list(session.notices),
        answer=answer,
    )
