"""What a served graph does around its network."""

from __future__ import annotations

from dataclasses import dataclass

Tint = tuple[float, float, float]


@dataclass(frozen=True)
class Framing:
    """The steps between pixels and network, and between logits and labels; learnt with, and so served with.

    Attributes:
        reduction: images are averaged over this many pixels squared before the network, the logits interpolated back.
        threshold: of P(building) in the decision; None is plain argmax.
        post_tint: constant added to the normalised RGB of the image after the disaster. A network that sees only
            differences of its shared encoder's features has nothing to find an unchanged building by; a tint lets
            the encoder tell the two images apart, and chosen features survive the difference. Weights learnt
            without one need (0, 0, 0).
        offsets: added to the logits, one per label value; empty: none. `export calibrate` finds them.
        smoothing: side of the square, in pixels, over which classes above the background are told; see
            `export.graphs.decision`. 0: each pixel for itself.
    """

    reduction: int = 1
    threshold: float | None = None
    post_tint: Tint = (0.0, 0.0, 0.0)
    offsets: tuple[float, ...] = ()
    smoothing: int = 0
