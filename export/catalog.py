"""Every model that `export` can build: one entry each, from which card, configuration and labels are generated."""

from __future__ import annotations

from dataclasses import dataclass

from export.errors import CheckpointError
from gateway.repository.card import Card, ClassSpec, TensorSpec

OUTPUTS = ("label_map", "probabilities")
"""The outputs of every graph, in order."""

BACKGROUND = ClassSpec(value=0, name="background", colour=(0, 0, 0))

DAMAGE_CLASSES = (
    BACKGROUND,
    ClassSpec(value=1, name="no-damage", colour=(0, 128, 0)),
    ClassSpec(value=2, name="minor-damage", colour=(0, 0, 255)),
    ClassSpec(value=3, name="major-damage", colour=(255, 165, 0)),
    ClassSpec(value=4, name="destroyed", colour=(255, 0, 0)),
)
"""xBD's damage scale. xBD names no official palette; torchgeo lists these colours in this order."""

_XBD_LICENCE = "CC BY-NC-SA 4.0 (learnt from xBD imagery and labels)"

_LIMITATIONS = (
    "Made for RGB satellite images of about 0.3 to 0.8 m per pixel, and learnt from few of them. Expect it to fail on "
    "other ground resolutions, sensors, seasons, building styles and kinds of disaster, and under cloud or smoke."
)


@dataclass(frozen=True)
class Entry:
    """What is fixed about a model before it is trained; the texts go into its card as they stand.

    `inputs` are the roles of its images, in order. `tile` and `overlap` are pixels of the input. `licence` is that of
    weights whose checkpoint states none.
    """

    name: str
    title: str
    summary: str
    architecture: str
    inputs: tuple[str, ...]
    classes: tuple[ClassSpec, ...]
    licence: str
    intended_use: str
    limitations: str
    tile: int = 544
    overlap: int = 64
    max_batch_size: int = 8

    def input_specs(self) -> tuple[TensorSpec, ...]:
        """Return the graph's inputs: uint8 RGB tiles."""
        shape = (self.tile, self.tile, 3)
        return tuple(TensorSpec(name=role, dtype="uint8", shape=shape) for role in self.inputs)

    def output_specs(self, file_format: str) -> tuple[TensorSpec, ...]:
        """Return the outputs as the format names them: label map, then quantised probabilities."""
        tile = (self.tile, self.tile)
        shapes = (tile, (*tile, len(self.classes)))
        # TorchScript outputs have no names: Triton's PyTorch backend finds the index at the end of `<name>__<index>`.
        names = [f"{name}__{i}" if file_format == "torchscript" else name for i, name in enumerate(OUTPUTS)]
        return tuple(TensorSpec(name=n, dtype="uint8", shape=shape) for n, shape in zip(names, shapes, strict=True))

    def differences(self, card: Card) -> list[str]:
        """Return the keys in which `card` says other than this entry: it was edited, or the catalogue has moved on."""
        said = {
            "title": self.title,
            "task": "damage",
            "summary": self.summary,
            "inputs": self.input_specs(),
            "outputs": self.output_specs(card.format),
            "max_batch_size": self.max_batch_size,
            "overlap": self.overlap,
            "classes": self.classes,
            "intended_use": self.intended_use,
            "limitations": self.limitations,
        }
        return [key for key, value in said.items() if getattr(card, key) != value]


CATALOG = {
    entry.name: entry
    for entry in (
        Entry(
            name="bd-fcn",
            title="Building footprints, FCN",
            summary="Finds buildings in one satellite image, taken before a disaster or in peace.",
            architecture="fcn",
            inputs=("pre",),
            classes=(BACKGROUND, ClassSpec(value=1, name="building", colour=(0, 128, 0))),
            licence=_XBD_LICENCE,
            intended_use=(
                "Research demonstration of locating buildings on high-resolution satellite images. "
                "Not for operational use."
            ),
            limitations=_LIMITATIONS + " Says nothing about damage.",
        ),
        Entry(
            name="bd-siamunet",
            title="Building damage, Siamese U-Net",
            summary="Compares satellite images before and after a disaster and grades the damage to each building.",
            architecture="siamunet",
            inputs=("pre", "post"),
            classes=DAMAGE_CLASSES,
            licence=_XBD_LICENCE,
            intended_use=(
                "Research demonstration of mapping building damage from registered image pairs. "
                "Not for operational use: no decision on people or aid may rest on it."
            ),
            limitations=_LIMITATIONS
            + " A pair must be registered to within a few pixels. Neighbouring damage grades are often confused.",
        ),
    )
}
"""Name → entry."""


def entry_of(architecture: str) -> Entry:
    """Return the entry that serves checkpoints of `architecture`.

    Raises:
        CheckpointError: none does.
    """
    for entry in CATALOG.values():
        if entry.architecture == architecture:
            return entry
    known = ", ".join(entry.architecture for entry in CATALOG.values())
    raise CheckpointError(f"no model of the catalogue is a {architecture!r}; known: {known}")
