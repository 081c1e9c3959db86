"""What a model of radiographs knows of archives, where every film of a class comes from one: comparisons without them.

Validation on the same archives cannot tell a network that sees a disease from one that sees a collection's looks. Other
findings, such as other pneumonia, come from both archives and from neither class: scores of these films show which.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from export.errors import DataError
from export.evaluation.engine import Bench
from export.evaluation.opened import Opened, open_models
from export.tasks.radiograph.data import CLASSES, LabelledRadiograph, read_radiographs
from export.tasks.radiograph.evaluate import Scores, scores_of
from gateway.tasks.radiograph.pipeline import ENSEMBLE, choose_panel

_COVID, _NORMAL = CLASSES

_NOTE = "0.500 is a coin. In the last comparison a model that does not know archives has it, were films equally grave."

Kept = NDArray[np.bool_]


@dataclass(frozen=True)
class Comparison:
    """How often films of one kind have a higher P(COVID-19) than films of another.

    Attributes:
        name: in words.
        higher: which of the films ought to have it, (N,).
        lower: which of them the others are.
    """

    name: str
    higher: Kept
    lower: Kept

    def auc(self, scores: Scores) -> float:
        """Return the area under the ROC curve of scores (N,)."""
        values = np.concatenate([scores[self.higher], scores[self.lower]])
        return float(roc_auc_score(np.arange(len(values)) < self.higher.sum(), values))


def comparisons(films: Sequence[LabelledRadiograph]) -> list[Comparison]:
    """Return the comparisons that films allow, those of the two classes first, in which archives count as well.

    Films of a class count where they validate; those of other findings wherever they are, for no model that is judged
    so may have learnt from them. The archive of normal films is that of most of them.

    Raises:
        DataError: a comparison would have no film on one side.
    """
    labels, sources = (np.array([getattr(film, key) for film in films]) for key in ("label", "source"))
    judged = np.array([film.split == "val" for film in films])
    of_normal = sources == Counter(sources[labels == _NORMAL]).most_common(1)[0][0]
    covid, normal, other = judged & (labels == _COVID), judged & (labels == _NORMAL), ~np.isin(labels, CLASSES)
    found = [
        Comparison("COVID-19 / normal, as validation has it", covid, normal),
        Comparison("other findings / normal, in the archive of normal films", other & of_normal, normal & of_normal),
        Comparison("COVID-19 / other findings, in the archives of COVID-19", covid & ~of_normal, other & ~of_normal),
        Comparison("archives of COVID-19 / of normal, other findings in both", other & ~of_normal, other & of_normal),
    ]
    for each in found:
        if not (each.higher.any() and each.lower.any()):
            raise DataError(f"there are no films for {each.name}")
    return found


def measured(opened: Opened, films: Sequence[LabelledRadiograph]) -> dict[str, dict[str, float]]:
    """Return comparison → model, and their ensemble if they are several → the area under the ROC curve."""
    asked = comparisons(films)
    with Bench(opened.served) as bench:
        names = [model.name for model in opened.models]
        panel = choose_panel(bench.engine, names[0] if len(names) == 1 else ENSEMBLE)
        scores = scores_of(bench, panel, (film.read() for film in tqdm(films, leave=False)))
    return {each.name: {name: each.auc(of_model) for name, of_model in scores.items()} for each in asked}


def _words(films: Sequence[LabelledRadiograph], found: dict[str, dict[str, float]]) -> str:
    lines = []
    for each in comparisons(films):
        lines.append(f"{each.name}: {each.higher.sum()} / {each.lower.sum()} films")
        lines += [f"  {name:28}{auc:7.3f}" for name, auc in found[each.name].items()]
    return "\n".join([*lines, _NOTE])


def add_command(commands: Any) -> None:
    """Add ``archives`` to the commands of `python -m export`."""
    command = commands.add_parser("archives", help="compare scores of radiographs where archives do not tell classes")
    command.set_defaults(command=_archives)
    command.add_argument("model", type=Path, nargs="+", help="checkpoint files or model folders")
    command.add_argument(
        "--data", type=Path, required=True, help="folder of radiographs whose labels.csv names sources"
    )


def _archives(options: argparse.Namespace) -> int:
    # Of the films of a class, those that were learnt from say nothing.
    films = [film for film in read_radiographs(options.data) if film.value is None or film.split == "val"]
    print(_words(films, measured(open_models(options.model), films)))
    return 0
