"""Chest films: class scores of one model, or of all of them averaged, and where in the film they found support."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from statistics import fmean

import numpy as np
import numpy.typing as npt

from gateway.engines.base import Engine, Model, check_tried, choose
from gateway.errors import ModelNotFound, ModelNotReady, ParameterInvalid
from gateway.inference.segmenter import Segmenter, together
from gateway.repository.card import Card, ClassSpec
from gateway.tasks.radiograph.spec import TASK
from gateway.vision.radiographs import decided_class, mean_evidence, to_tile

UInt8 = npt.NDArray[np.uint8]
Float64 = npt.NDArray[np.float64]

ENSEMBLE = "ensemble"
"""Names all ready models of the task, averaged; each counts as often as it has members."""

_EVEN = 0.5


@dataclass(frozen=True)
class Panel:
    """The models that a film is shown to.

    Attributes:
        name: a model's, or that of the ensemble.
        models: one, or those that are averaged; all of the same classes.
        absent: names of the task's models that the ensemble has to do without: not ready, or of other classes.
    """

    name: str
    models: tuple[Model, ...]
    absent: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[ClassSpec, ...]:
        """The classes that all models score, in the order of their values."""
        return self.models[0].card.classes

    @property
    def threshold(self) -> float:
        """From which probability of the first class on it is decided for, unless a request names another."""
        return _threshold(self.models[0].card) if self.name != ENSEMBLE else _EVEN

    def value_of(self, name: str) -> int:
        """Return the value of the class `name`.

        Raises:
            ParameterInvalid: there is none of that name.
        """
        for spec in self.classes:
            if spec.name == name:
                return spec.value
        names = ", ".join(spec.name for spec in self.classes)
        raise ParameterInvalid(f"There is no class of that name. The classes: {names}.", pointer="/saliency_class")


@dataclass(frozen=True)
class Verdict:
    """Class scores, and what they were decided to mean.

    Attributes:
        scores: float64 (C,), probabilities in the order of the classes' values.
        threshold: from which probability of class 0 on it is decided for.
        value: the class decided for.
    """

    scores: Float64
    threshold: float
    value: int

    @classmethod
    def of(cls, scores: Float64, threshold: float) -> Verdict:
        """Return what scores mean at a threshold in (0, 1)."""
        return cls(scores, threshold, decided_class(scores, threshold))


@dataclass(frozen=True)
class Opinion:
    """What one model makes of a film.

    Attributes:
        model: which.
        verdict: at its own threshold, unless the request named one.
        distance: of the film from those that the model learnt from, see `FilmReport.distance`; None: it cannot say.
        evidence: uint8 (h, w, C), per class where support for it was found, scaled to its maximum; None: not fetched.
    """

    model: Model
    verdict: Verdict
    distance: float | None
    evidence: UInt8 | None = field(repr=False)


@dataclass(frozen=True)
class FilmReport:
    """What a panel makes of a film.

    Attributes:
        panel: whom it was shown to.
        verdict: of the mean scores.
        opinions: one per model of the panel, in its order.
    """

    panel: Panel
    verdict: Verdict
    opinions: tuple[Opinion, ...]

    @property
    def distance(self) -> float | None:
        """Return how far the film is from those that the models learnt from, the mean of those that can say.

        Beyond 1 it is farther than nearly all films of the same kind; see `FamiliarSpec`. None: no model can say.
        """
        said = [opinion.distance for opinion in self.opinions if opinion.distance is not None]
        return fmean(said) if said else None

    def evidence(self, value: int, height: int, width: int) -> UInt8:
        """Return the models' mean evidence for a class on the film: uint8 (height, width).

        The report must have been made by `explain_film`.
        """
        told = [(opinion.evidence[..., value], opinion) for opinion in self.opinions if opinion.evidence is not None]
        return mean_evidence([one for one, _ in told], _members(opinion for _, opinion in told), height, width)


def choose_panel(engine: Engine, name: str, version: int | None = None) -> Panel:
    """Return the ensemble, or the model `name` alone, in the version given or else the newest that is ready.

    The ensemble is of those ready models that score the same classes; should a repository hold several sets of
    classes, of the set that most models have.

    Raises:
        ModelNotFound: there is no model of that name, or of the task at all.
        VersionNotFound: the model has no such version.
        ParameterInvalid: a version of the ensemble is asked for; it has none.
        ModelNotReady: the model, or every one, is loading or failed to load.
    """
    if name == ENSEMBLE:
        if version is not None:
            raise ParameterInvalid(
                "The ensemble takes the newest version of each model; name a model to choose its version.",
                pointer="/version",
            )
        return _ensemble(engine)
    try:
        return Panel(name, (choose(engine, TASK.name, name, version),))
    except ModelNotFound as error:
        raise ModelNotFound(f"{error.detail} {ENSEMBLE} averages them.", pointer="/model") from error


async def score_film(
    panel: Panel, segmenter_of: Callable[[Model], Segmenter], film: UInt8, threshold: float | None
) -> FilmReport:
    """Return the scores that a panel gives a film, its models asked side by side.

    Args:
        panel: whom to show it to.
        segmenter_of: makes a model ready to run for the request.
        film: uint8 (H, W), grey, bone bright.
        threshold: of the first class, in (0, 1); None: each model's own, of the ensemble a half.

    Raises:
        MaskgateError: as `Engine.infer`.
    """

    async def score(model: Model) -> Opinion:
        return await _ask(segmenter_of(model), film, threshold)

    return _report(panel, await together(map(score, panel.models)), threshold)


async def explain_film(
    panel: Panel, segmenter_of: Callable[[Model], Segmenter], film: UInt8, threshold: float | None
) -> FilmReport:
    """Return the scores that a panel gives a film with the evidence for them; arguments as in `score_film`."""

    async def explain(model: Model) -> Opinion:
        return await _ask(segmenter_of(model), film, threshold, "saliency")

    return _report(panel, await together(map(explain, panel.models)), threshold)


def _ensemble(engine: Engine) -> Panel:
    statuses = [s for s in engine.statuses() if s.model is not None and s.model.card.task == TASK.name]
    if not statuses:
        check_tried(engine)
        raise ModelNotFound("The repository holds no model of radiographs.", pointer="/model")
    ready = [s.model for s in statuses if s.state == "ready" and s.model is not None]
    if not ready:
        raise ModelNotReady("No model of radiographs is ready; GET /v1/models says why.", retry_after=5)
    ((names, _),) = Counter(_class_names(model) for model in ready).most_common(1)
    models = tuple(model for model in ready if _class_names(model) == names)
    taken = {model.name for model in models}
    return Panel(ENSEMBLE, models, tuple(s.name for s in statuses if s.name not in taken))


def _class_names(model: Model) -> tuple[str, ...]:
    return tuple(spec.name for spec in model.card.classes)


def _threshold(card: Card) -> float:
    return _EVEN if card.threshold is None else card.threshold


async def _shown(segmenter: Segmenter, film: UInt8) -> dict[str, UInt8]:
    """Return the film as the model takes it, a batch of one by input name."""
    card = segmenter.model.card
    tile = await segmenter.aside(to_tile, film, card.tile)
    return {card.inputs[0].name: tile[None]}


async def _ask(segmenter: Segmenter, film: UInt8, threshold: float | None, *pictures: str) -> Opinion:
    """Return what a model answers, `pictures` too, and publish its scores: drift shows there first."""
    model = segmenter.model
    roles = ("scores", *(("distance",) if model.card.familiar else ()), *pictures)
    answer = dict(zip(roles, await segmenter.outputs(await _shown(segmenter, film), *roles), strict=True))
    scores = answer["scores"][0]
    for value, score in enumerate(scores.tolist()):
        segmenter.telemetry.class_score.labels(model.name, str(value)).observe(score)
    return Opinion(
        model,
        Verdict.of(scores.astype(np.float64), _threshold(model.card) if threshold is None else threshold),
        float(answer["distance"][0, 0]) if "distance" in answer else None,
        answer["saliency"][0] if pictures else None,
    )


def _members(opinions: Iterable[Opinion]) -> list[int]:
    """Return how often opinions count: once for each network that was learnt apart."""
    return [opinion.model.card.network.members for opinion in opinions]


def _report(panel: Panel, opinions: list[Opinion], threshold: float | None) -> FilmReport:
    mean = np.average([opinion.verdict.scores for opinion in opinions], axis=0, weights=_members(opinions))
    return FilmReport(panel, Verdict.of(mean, panel.threshold if threshold is None else threshold), tuple(opinions))
