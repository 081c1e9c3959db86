"""The removal of clouds in numbers, as OpenAPI shows it."""

from __future__ import annotations

from pydantic import BaseModel, Field

from gateway.http.answers import Provenance


class RestoreAnswer(BaseModel):
    """How much of an image was covered, and how much of what replaces it is invented."""

    model: str = Field(examples=["restore-gan"])
    width: int = Field(examples=[1024])
    height: int = Field(examples=[1024])
    observed_share: float = Field(description="Of all pixels, 0 to 1; the others stay black", examples=[1.0])
    covered_share: float = Field(
        description="Of the observed pixels: a twentieth of their light at least is not the ground's own, 0 to 1",
        examples=[0.41],
    )
    invented_share: float = Field(
        description="Of the observed pixels: half of their light at least is not the ground's own, so that the model "
        "made up what they show, 0 to 1",
        examples=[0.12],
    )
    notices: list[str] = Field(description="What was done to what was sent, and what to beware of")
    provenance: Provenance
    pictures: dict[str, str] = Field(
        default={}, description="What `include` asked for: base64 PNG by name", examples=[{}]
    )
    files: dict[str, str] = Field(default={}, description="What `include` asked for: base64 of other files by name")
