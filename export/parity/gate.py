"""The parity gate: an exported file has to answer as the torch network does, or it is not built."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict

import onnxruntime
import torch

from export.errors import ParityError
from export.graphs.runners import Arrays, FileFormat
from export.parity.cases import Case
from export.parity.inputs import KINDS, Tiles
from gateway.repository.record import Drift, Parity

TOLERANCE_PROBABILITY = 2 / 255
"""Largest difference of a quantised probability: two levels, of which rounding alone can make one."""

TOLERANCE_FLIPPED = 1e-3
"""Largest share of pixels whose label differs."""

TOLERANCE_FEATURE = 2 / 1024
"""Largest difference of a feature, over the largest of its map: two steps of float16, of which rounding alone can make
one."""


TOLERANCE_INTENSITY = 2e-3
"""Largest difference of a super-resolved pixel, over the width of the window: three Hounsfield units of 1500, of which
rounding alone can make one."""

TOLERANCE_SALIENCY = 8 / 255
"""Largest difference of a saliency map, whose own maximum, small as it may be, is made 1."""

TOLERANCE_COMPOSITION = 4 / 255
"""Largest difference of a quantised probability after a head on an encoder's features: two levels more, since these
are rounded to float16."""


TOLERANCE_PROBABILITY_INTEGERS = 1.0
"""As `TOLERANCE_PROBABILITY`, of a graph that computes in 8-bit integers: a pixel at a border may change its mind."""

TOLERANCE_FLIPPED_INTEGERS = 0.03
"""As `TOLERANCE_FLIPPED`, of such a graph on noise too, which nobody calibrated it for. What it costs in quality is
measured on labelled data; see `export.tasks.damage.precision`."""


def prove(cases: Iterable[Case], largest: int, *, integers: bool = False) -> Parity:
    """Make every comparison with every kind of inputs, in batches of 1, 3 and `largest`.

    Args:
        cases: what is compared.
        largest: batch.
        integers: whether the files compute in 8-bit integers, which has tolerances of its own.

    Raises:
        ParityError: a comparison is beyond tolerance.
    """
    parity = Parity(
        tolerance_probability=TOLERANCE_PROBABILITY_INTEGERS if integers else TOLERANCE_PROBABILITY,
        tolerance_flipped=TOLERANCE_FLIPPED_INTEGERS if integers else TOLERANCE_FLIPPED,
        tolerance_feature=TOLERANCE_FEATURE,
        tolerance_composition=TOLERANCE_COMPOSITION,
        tolerance_intensity=TOLERANCE_INTENSITY,
        tolerance_saliency=TOLERANCE_SALIENCY,
        versions={"torch": torch.__version__, "onnxruntime": onnxruntime.__version__},
        comparisons=tuple(drift for case in cases for drift in _compare(case, largest)),
    )
    worst = max(parity.comparisons, key=parity.excess)
    if parity.excess(worst) > 1:
        raise ParityError(
            f"{_who(worst.format, worst.part)} on {worst.tiles} tiles, batch {worst.batch}: {_how(worst, parity)}"
        )
    return parity


def _compare(case: Case, largest: int) -> Iterator[Drift]:
    for kind in KINDS:
        drawn = case.draw(kind, largest)
        for batch in sorted({1, min(3, largest), largest}):
            cut = [array[:batch] for array in drawn]
            truth = case.reference(cut)
            for file_format, run in case.runners.items():
                try:
                    answer = run(cut)
                # Each runtime has exceptions of its own, and a graph that fails differs from one that answers.
                except Exception as error:
                    message = f"{_who(file_format, case.part)} fails on {kind} tiles, batch {batch}"
                    raise ParityError(f"{message}: {type(error).__name__}") from error
                yield _drift(case, truth, answer, file_format, kind, batch)


def _drift(case: Case, truth: Arrays, answer: Arrays, file_format: FileFormat, kind: Tiles, batch: int) -> Drift:
    for name, wanted, got in zip(case.outputs, truth, answer, strict=True):
        if wanted.shape != got.shape or wanted.dtype != got.dtype:
            raise ParityError(
                f"{_who(file_format, case.part)} gives {name} as {got.dtype} {got.shape}, "
                f"torch {wanted.dtype} {wanted.shape}"
            )
    deviation = case.deviation(truth, answer)
    return Drift(format=file_format, part=case.part, tiles=kind, batch=batch, **asdict(deviation))


def _how(drift: Drift, parity: Parity) -> str:
    if drift.part == "encoder" or drift.feature_difference > TOLERANCE_FEATURE:
        share = f"{drift.feature_difference:.4f} of the largest (tolerance {TOLERANCE_FEATURE:.4f})"
        return f"features, or edges of boxes, differ by up to {share}"
    if drift.intensity_difference:
        share = f"{drift.intensity_difference:.4f} of the window (tolerance {TOLERANCE_INTENSITY:.4f})"
        return f"pixels differ by up to {share}"
    if drift.saliency_difference > TOLERANCE_SALIENCY:
        return f"saliency differs by up to {drift.saliency_difference:.4f} (tolerance {TOLERANCE_SALIENCY:.4f})"
    tolerance = TOLERANCE_COMPOSITION if drift.part == "composition" else parity.tolerance_probability
    return (
        f"probabilities differ by up to {drift.probability_difference:.4f} (tolerance {tolerance:.4f}) and "
        f"{drift.flipped_share:.2%} of the labels flip (tolerance {parity.tolerance_flipped:.2%})"
    )


def _who(file_format: FileFormat, part: str) -> str:
    return file_format if part == "whole" else f"{file_format} {part}"
