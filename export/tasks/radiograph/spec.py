"""The models of chest radiographs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from export.task import ExportTask, ModelSpec, Tensors, View, as_named_in
from gateway.repository.card import Card, ClassSpec, TensorSpec

DISTANCE = TensorSpec(name="distance", dtype="float32", shape=(1,))
"""The output of a model that says how far a film is from those that it learnt from; see `familiar`."""


@dataclass(frozen=True, kw_only=True)
class RadiographSpec(ModelSpec):
    """A model that takes whole radiographs and scores them."""

    @property
    def task(self) -> str:
        """The card's task."""
        return "radiograph"

    def input_specs(self, size: int) -> Tensors:
        """Return the graph's input: a film as RGB."""
        return (TensorSpec(name="image", dtype="uint8", shape=(size, size, 3)),)

    def output_specs(self, grid: tuple[int, int]) -> Tensors:
        """Return the graph's outputs: a score and a saliency map per class, on the `grid` of the last features."""
        classes = len(self.classes)
        return (
            TensorSpec(name="scores", dtype="float32", shape=(classes,)),
            TensorSpec(name="saliency", dtype="uint8", shape=(*grid, classes)),
        )

    def contract(self, card: Card) -> Mapping[str, Any]:
        """Return what a model of radiographs adds."""
        rows, columns, _ = card.outputs[1].shape
        outputs = as_named_in(card.format, self.output_specs((rows, columns)))
        return {
            "inputs": self.input_specs(card.tile),
            "outputs": (*outputs, DISTANCE) if card.familiar else outputs,
        }


THRESHOLD = 0.5
"""Of P(COVID-19): what argmax of two classes is."""

RADIOGRAPH_CLASSES = (
    ClassSpec(value=0, name="COVID-19", colour=(230, 97, 1)),
    ClassSpec(value=1, name="NORMAL", colour=(94, 60, 153)),
)
"""The paper's classes, in the order of label encoding; the colours, of saliency, differ for colour-blind eyes too."""

_LICENCE = "Non-commercial research use only (learnt from films under CC BY-NC-SA and other licences)"
_USE = (
    "Research demonstration of scoring frontal chest radiographs. Not for clinical use: nothing it says is a "
    "diagnosis, and no decision on a patient may rest on it."
)
_LIMITATIONS = (
    "Class and source are confounded in its training films: all COVID-19 films are published cases of 2020, all "
    "normal ones come from one hospital's archive (NIH). It may tell the source rather than the disease, however much "
    "training hides the source, and figures on films of the same sources are too good to hold elsewhere. It knows two "
    "classes alone: other pneumonia, effusions and any other finding become one of them. Children, lateral films and "
    "films of anything but the chest it has not seen. Saliency shows what moved the score, not where a lesion is."
)


def _entry(name: str, title: str, architecture: str, maker: str = "Keras'", licence: str = _LICENCE) -> RadiographSpec:
    return RadiographSpec(
        name=name,
        title=f"COVID-19 on chest radiographs, {title}",
        summary=f"Scores a frontal chest radiograph as COVID-19 or normal: {maker} {title} and the paper's head.",
        architecture=architecture,
        classes=RADIOGRAPH_CLASSES,
        licence=licence,
        intended_use=_USE,
        limitations=_LIMITATIONS,
    )


RADIOGRAPHS = (
    _entry("cxr-inceptionv3", "InceptionV3", "inceptionv3"),
    _entry("cxr-inception-resnetv2", "Inception-ResNetV2", "inception_resnetv2"),
    _entry("cxr-resnet101v2", "ResNet101V2", "resnet101v2"),
    _entry("cxr-densenet201", "DenseNet201", "densenet201"),
    _entry("cxr-plain", "plain network", "film_plain", maker="a"),
    _entry(
        "cxr-lite0",
        "EfficientNet-Lite0",
        "film_lite0",
        "Google's",
        _LICENCE + "; the encoder began with public ImageNet weights under Apache-2.0",
    ),
)

TASK = ExportTask(
    name="radiograph",
    package="export.tasks.radiograph",
    subject="radiographs",
    view=View(
        example="radiograph",
        columns={
            "precision": "precision",
            "recall": "recall",
            "f1": "F1",
            "accuracy": "accuracy",
            "auc": "AUC",
            "specificity": "specificity",
        },
        shown=("accuracy", "recall", "f1"),
        score="auc",
        note="Precision, recall and F1 are those of COVID-19 at each model's threshold.",
    ),
    models=RADIOGRAPHS,
    size=224,
    threshold=THRESHOLD,
    jointly=True,
    command="familiar",
)
