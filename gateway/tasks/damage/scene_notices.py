"""What the caller of a pair of scenes should know of its map, and when there is none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gateway.errors import PairUnobserved
from gateway.tasks.damage.scene_bands import LEAST_OBSERVED, GradedFootprints
from gateway.tasks.damage.scene_outputs import WITHOUT_NODATA, SceneForm
from gateway.tasks.damage.scene_pairs import Alignment, ScenePair
from gateway.tasks.damage.scene_pipeline import SceneMap


def said_of_alignment(alignment: Alignment) -> tuple[str, ...]:
    """Return what the caller should know of how the images were brought together."""
    shift = alignment.shift
    if shift is None:
        return ()
    if alignment.corrected:
        return (f"post image moved by ({-shift.x:.2f}, {-shift.y:.2f}) pixels onto what the pre image shows",)
    if not shift.sure:
        return ("whether the images are shifted to each other cannot be told for sure; they are taken as they lie",)
    return ()


def check_observed(found: SceneMap, pair: ScenePair, pixels: int) -> None:
    """Check that enough of the ground that the images share was seen for an answer to mean anything.

    Raises:
        PairUnobserved: it was not.
    """
    common = max(1.0, pair.alignment.overlap * pixels)
    share = sum(found.counts) / common
    if share < LEAST_OBSERVED:
        raise PairUnobserved(
            f"Of the ground that the images share {share:.2%} is seen in both and classified; {LEAST_OBSERVED:.0%} are "
            f"needed. {min(1.0, found.featureless / common):.1%} is blank or as bright and even as clouds, the rest "
            "nodata or border.",
            pointer="/post",
        )


def said_of_map(found: SceneMap, pixels: int, forms: Sequence[SceneForm]) -> tuple[str, ...]:
    """Return what the caller should know of a map of so many pixels, answered in those forms."""
    said = []
    lost = pixels - sum(found.counts)
    if lost:
        shown_as = ", which is background in PNGs" if any(form in WITHOUT_NODATA for form in forms) else ""
        said.append(f"{lost / pixels:.1%} of the scene not observed or not classified{shown_as}")
    if found.featureless:
        said.append(
            f"{found.featureless / pixels:.1%} of the scene not classified: one of the images is blank there, or as "
            "bright and even as clouds are"
        )
    said += [f"{name} says something of {known / pixels:.1%} of the scene" for name, known in found.known.items()]
    if found.cut:
        said.append(f"{found.cut} regions cut, being taller than any building")
    if found.graded is not None:
        said += _said_of_footprints(found.graded)
    return tuple(said)


def _said_of_footprints(graded: GradedFootprints) -> list[str]:
    """Return what the caller should know of footprints."""
    said = list(graded.footprints.notices)
    if not graded.footprints.boxes.any():
        said.append("no footprint meets the scene")
    elif unseen := int(np.count_nonzero(graded.values == 0)):
        said.append(
            f"{unseen} of {len(graded.values)} footprints not assessed: less than {LEAST_OBSERVED:.0%} of each was seen"
        )
    return said
