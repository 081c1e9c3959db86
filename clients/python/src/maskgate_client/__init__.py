"""Maskgate's client: send a pair of images, get a damage map back.

from maskgate_client import Client

with Client("http://127.0.0.1:8080") as client:
    damage = client.damage("pre.png", "post.png")
    damage.labels  # uint8 (height, width): 0 background, 1 no damage … 4 destroyed
"""

from maskgate_client.answers import (
    ClassShare,
    DamageMap,
    DamageReport,
    ModelCard,
    ModelStatus,
    Origin,
    Provenance,
    Region,
)
from maskgate_client.client import AsyncClient, Client
from maskgate_client.errors import Busy, Failed, MaskgateError, Problem, Rejected, UnexpectedAnswer, Unreachable
from maskgate_client.images import ImageInput
from maskgate_client.protocol import DEFAULT_URL
from maskgate_client.retry import Retry
from maskgate_client.version import __version__

__all__ = [
    "DEFAULT_URL",
    "AsyncClient",
    "Busy",
    "ClassShare",
    "Client",
    "DamageMap",
    "DamageReport",
    "Failed",
    "ImageInput",
    "MaskgateError",
    "ModelCard",
    "ModelStatus",
    "Origin",
    "Problem",
    "Provenance",
    "Region",
    "Rejected",
    "Retry",
    "UnexpectedAnswer",
    "Unreachable",
    "__version__",
]
