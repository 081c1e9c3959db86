"""The JSON answers, as OpenAPI shows them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydantic import BaseModel, Field

from gateway import __version__
from gateway.engines.base import Engine, Model, State, Status
from gateway.registry import Answer, TaskSpec
from gateway.repository.card import Card, ClassSpec
from gateway.scheduling.timeline import Stage
from gateway.vision.regions import Region

MEDICAL_NOTICE = "a research demonstration, not a diagnosis"
"""Goes with every answer about a patient."""


class Part(BaseModel):
    """One of several models that an answer is composed of."""

    model: str = Field(examples=["bd-fcn"])
    version: int = Field(examples=[1])
    digest: str = Field(description="SHA-256 of the model file", examples=["sha256:4f0c…"])


class Provenance(BaseModel):
    """What made the answer, enough to make it again."""

    model: str = Field(examples=["bd-siamunet"])
    version: int | None = Field(
        description="null: of a tool that needs no model of the repository, and of an ensemble", examples=[1]
    )
    digest: str | None = Field(description="SHA-256 of the model file; null: as above", examples=["sha256:4f0c…"])
    engine: str = Field(examples=["embedded"])
    input_digest: str = Field(description="SHA-256 over the SHA-256 digests of the parts, in their documented order")
    gateway: str = Field(description="Version of the gateway", examples=["0.1.0"])
    parts: list[Part] = Field(
        default=[],
        description="Of `fused`: its models, in the order in which they ran. `version` is then the last one's, "
        "`digest` over the digests of all.",
        examples=[[]],
    )


class ClassShare(BaseModel):
    """How much of the image is of one class."""

    value: int = Field(description="Value in the label map", examples=[4])
    name: str = Field(examples=["destroyed"])
    colour: tuple[int, int, int] = Field(description="sRGB", examples=[(255, 0, 0)])
    pixels: int = Field(examples=[5213])
    share: float = Field(description="Of all pixels, 0 to 1", examples=[0.004972])


class RegionAnswer(BaseModel):
    """One connected object. Coordinates are (x, y) pixels of the image (of a pair: the pre image), origin top left."""

    polygon: list[list[int]] = Field(examples=[[[12, 40], [31, 40], [31, 66], [12, 66]]])
    holes: list[list[list[int]]] = Field(default=[], examples=[[]])
    value: int = Field(alias="class", description="Value of most of its pixels", examples=[4])
    name: str = Field(examples=["destroyed"])
    area: int = Field(description="Pixels", examples=[540])
    confidence: float | None = Field(description="Mean probability of its pixels' classes, 0 to 1", examples=[0.81])
    box: tuple[int, int, int, int] = Field(
        description="x0, y0, x1, y1; x1 and y1 are exclusive", examples=[(12, 40, 32, 67)]
    )


class LabelMapAnswer(BaseModel):
    """A label map in numbers."""

    model: str = Field(examples=["waste-lite0"])
    width: int = Field(examples=[1920])
    height: int = Field(examples=[1080])
    classes: list[ClassShare]
    regions: list[RegionAnswer] = Field(
        description="Connected pieces of one class of at least `min_area` pixels, in reading order"
    )
    notices: list[str] = Field(description="What was done to what was sent, and what to beware of")
    provenance: Provenance
    pictures: dict[str, str] = Field(
        default={}, description="What `include` asked for: base64 PNG by name", examples=[{}]
    )


class TaskPart(BaseModel):
    """One part of a task's multipart body."""

    name: str = Field(examples=["image"])
    description: str
    required: bool
    media_types: list[str] = Field(description="What it may be; its bytes say which", examples=[["image/png"]])


class TaskAnswer(BaseModel):
    """One task: `POST /v1/<name>`."""

    name: str = Field(description="Also the scope that a key needs for it", examples=["waste"])
    title: str = Field(examples=["Waste on a photograph, by class"])
    default_model: str = Field(description="Answers where none is named", examples=["waste-lite0"])
    parts: list[TaskPart]
    formats: list[str] = Field(description="Media types of answers, the default first", examples=[["image/png"]])
    answer: Answer = Field(description="What an answer is in the main, for whoever shows it")


class TasksAnswer(BaseModel):
    """Every task."""

    tasks: list[TaskAnswer]


class VersionAnswer(BaseModel):
    """One version of a model and how it stands."""

    version: int = Field(examples=[1])
    digest: str = Field(description="SHA-256 of the model file", examples=["sha256:4f0c…"])
    state: State
    reason: str = Field("", description="Why it, or its newest form, is not served")


class ModelAnswer(BaseModel):
    """One model folder and how it stands."""

    name: str = Field(examples=["bd-siamunet"])
    task: str | None = Field(None, examples=["damage"])
    version: int | None = Field(None, description="Answers where no version is named", examples=[1])
    digest: str | None = None
    state: State
    reason: str = Field("", description="Why it, or part of what is in its folder, is not served")
    versions: list[VersionAnswer] = Field([], description="Every version, ascending; `?version=` names one")


class ModelCardAnswer(ModelAnswer):
    """One model with its card."""

    card: Card | None = None


class ModelsAnswer(BaseModel):
    """Every model folder of the repository."""

    models: list[ModelAnswer]


class Readiness(BaseModel):
    """Whether requests should be sent here."""

    ready: bool
    draining: bool
    engine: str = Field(examples=["embedded"])
    transport: str = Field(
        description="How tensors reach the models: in-process, shared-memory or binary", examples=["in-process"]
    )
    models: dict[str, str] = Field(
        description="State per model folder, and why where something in it is not served",
        examples=[{"bd-siamunet": "ready"}],
    )
    versions: dict[str, dict[int, str]] = Field(
        description="The same per version of each model", examples=[{"bd-siamunet": {1: "ready"}}]
    )


class ProgressAnswer(BaseModel):
    """How far a request is."""

    stage: Stage = Field(description="What began last; stages overlap", examples=["infer"])
    done: int = Field(description="Slices of a CT, tiles of other images", examples=[120])
    total: int | None = Field(description="null: not known yet", examples=[300])


class RefreshAnswer(BaseModel):
    """What a refresh did."""

    added: list[str] = Field(description="Models that are ready now and were not before")
    changed: list[str] = Field(description="Models with another card or other versions", examples=[["bd-siamunet"]])
    removed: list[str] = Field(description="Models whose folders are gone")
    failed: dict[str, str] = Field(
        description="Models of whose folders something is not served, and why; what was served before still is",
        examples=[{"bd-fcn": "labels.txt is missing"}],
    )


def provenance(model: Model, engine: Engine, input_digest: str) -> Provenance:
    """Return where an answer came from."""
    return Provenance(
        model=model.name,
        version=model.version,
        digest=model.digest,
        engine=engine.name,
        input_digest=input_digest,
        gateway=__version__,
        parts=[Part(model=part.name, version=part.version, digest=part.digest) for part in model.parts],
    )


def class_shares(classes: Sequence[ClassSpec], counts: Sequence[int]) -> list[ClassShare]:
    """Return pixels and share per class."""
    total = sum(counts)
    return [
        ClassShare(value=c.value, name=c.name, colour=c.colour, pixels=n, share=round(n / total, 6))
        for c, n in zip(classes, counts, strict=True)
    ]


def region_answers(classes: Sequence[ClassSpec], found: Iterable[Region]) -> list[RegionAnswer]:
    """Return regions as JSON shows them."""
    return [
        RegionAnswer.model_construct(
            polygon=region.polygon,
            holes=region.holes,
            value=region.value,
            name=classes[region.value].name,
            area=region.area,
            confidence=region.confidence,
            box=region.box,
        )
        for region in found
    ]


def task_answer(spec: TaskSpec, default_model: str) -> TaskAnswer:
    """Return a task as JSON shows it."""
    return TaskAnswer(
        name=spec.name,
        title=spec.title,
        default_model=default_model,
        parts=[
            TaskPart(
                name=part.name,
                description=part.description,
                required=part.required,
                media_types=list(part.media_types),
            )
            for part in spec.parts
        ],
        formats=list(spec.formats),
        answer=spec.answer,
    )


def model_answer(status: Status) -> ModelCardAnswer:
    """Return one model's standing with its card."""
    model = status.model
    return ModelCardAnswer(
        name=status.name,
        task=model.card.task if model else None,
        version=model.version if model else None,
        digest=model.digest if model else None,
        state=status.state,
        reason=status.reason,
        versions=[
            VersionAnswer(version=v.model.version, digest=v.model.digest, state=v.state, reason=v.reason)
            for v in status.versions
        ],
        card=model.card if model else None,
    )
