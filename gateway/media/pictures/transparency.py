"""What the alpha of a picture hides: told by its samples, of any depth and range."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Bool = npt.NDArray[np.bool_]

# Of what alpha lets through, the share that is wholly opaque, at least; in pictures of near infrared that a writer
# stored in its place few samples are the brightest one.
_OPAQUE_SHARE = 0.5


def opaque_level(samples: npt.NDArray[Any]) -> float | None:
    """Return from which sample on alpha shows something, half of the highest; None: its samples are a picture.

    Where all are 0 any other sample shows something.
    """
    through = samples[samples > 0]
    if not through.size:
        return float(np.nextafter(0, 1))
    highest = through.max()
    return float(highest) / 2 if np.count_nonzero(through == highest) >= _OPAQUE_SHARE * through.size else None


def shown_by(alpha: npt.NDArray[Any]) -> Bool | None:
    """Return where alpha (H, W) shows something, bool of the same shape; None: everywhere, or it is a picture."""
    level = opaque_level(alpha)
    if level is None or alpha.min() >= level:
        return None
    return np.asarray(alpha >= level, np.bool_)


def blackened(pixels: npt.NDArray[np.uint8], observed: Bool) -> npt.NDArray[np.uint8]:
    """Return a picture (H, W, 3) that is black where it was not observed, bool (H, W)."""
    return np.where(observed[..., np.newaxis], pixels, np.uint8(0))
