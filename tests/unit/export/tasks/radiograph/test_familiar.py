"""How far a film is from those that were learnt from: the spread of features, and the output that a model gets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from export.build import build
from export.checkpoints.files import write_checkpoint
from export.cli import main
from export.errors import BuildError
from export.registry import specs_of
from export.tasks.radiograph import familiar
from export.tasks.radiograph.data import read_radiographs
from export.tasks.radiograph.familiar import Spread
from export.verify import verify, verify_source
from gateway.repository.store import scan
from gateway.vision.radiographs import to_tile
from tests.support.checkpoints import FILM_SIZE, checkpoint

pytestmark = [pytest.mark.processors, pytest.mark.training]


def test_what_is_far_in_directions_that_vary_little_is_far() -> None:
    rng = np.random.default_rng(0)
    wide = rng.normal(0, 1, (400, 6)) * (5, 1, 1, 1, 1, 1) @ np.linalg.qr(rng.normal(0, 1, (6, 6)))[0]
    spread = Spread.of(wide)
    axis = spread.axes[:, 0] / spread.scale
    across = np.linalg.svd(np.eye(6) - np.outer(spread.axes[:, 0], spread.axes[:, 0]))[0][:, 0] / spread.scale
    along, beside = spread.distances(spread.centre + np.stack([axis, across]))
    assert beside > 2 * along
    assert spread.distances(spread.centre[None])[0] == pytest.approx(0, abs=1e-6)


def test_with_all_axes_it_is_mahalanobis_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(familiar, "AXES", 3)
    features = np.random.default_rng(1).normal(0, 1, (300, 4)) @ np.array(
        [[2, 0.5, 0, 0], [0, 1, 0, 0.3], [0, 0, 1.5, 0], [0, 0.2, 0, 1]]
    )
    centred = features - features.mean(axis=0)
    wanted = np.sqrt(np.einsum("nc,cd,nd->n", centred, np.linalg.inv(np.cov(features.T, bias=True)), centred))
    # Up to one factor, that of the direction without an axis.
    found = Spread.of(features).distances(features)
    np.testing.assert_allclose(found / found.mean(), wanted / wanted.mean(), rtol=1e-6)


def test_too_few_films_are_refused() -> None:
    with pytest.raises(BuildError, match="too few"):
        Spread.of(np.random.default_rng(0).normal(0, 1, (3, 8)))


@pytest.fixture
def built(tmp_path: Path) -> tuple[Path, Path]:
    file = tmp_path / "film.pt"
    write_checkpoint(checkpoint("densenet201"), file)
    build(file, specs_of("densenet201"), tmp_path / "models")
    return file, tmp_path / "models"


def test_a_model_gets_the_distance_and_scores_as_before(
    built: tuple[Path, Path], films: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(familiar, "AXES", 4)
    file, root = built
    folder = root / "cxr-densenet201"
    validation = [film.read() for film in read_radiographs(films) if film.split == "val"]
    strange = np.random.default_rng(0).integers(0, 256, (100, 90), np.uint8)
    tiles = np.stack([to_tile(film, FILM_SIZE) for film in (*validation, strange)])

    def answers(*names: str) -> list[np.ndarray]:
        return list(onnxruntime.InferenceSession(folder / "1" / "model.onnx").run(list(names), {"image": tiles}))

    [before] = answers("scores")
    table = films / "labels.csv"
    text = table.read_text()
    table.write_text(text.replace(",val,", ",test,"))
    with pytest.raises(BuildError, match="split val"):
        familiar.familiarised(folder, films)
    table.write_text(text)
    assert main(["familiarise", str(folder), "--data", str(films)]) == 0
    assert capsys.readouterr().out.split() == [str(folder)]
    scores, distance = answers("scores", "distance")
    np.testing.assert_array_equal(scores, before)
    assert distance.shape == (len(tiles), 1)
    assert np.quantile(distance[:-1], familiar.WITHIN) == pytest.approx(1, abs=1e-3)
    assert distance[-1] > 2
    repository = scan(root)
    said = repository.models["cxr-densenet201"].card.familiar
    assert said is not None
    assert (said.films, said.axes, said.images, said.within) == (16, 4, 12, 0.95)
    assert verify(repository) == verify_source(repository, file) == ()
    assert main(["familiarise", str(folder), "--data", str(films)]) == 1
    assert "without a distance" in capsys.readouterr().err
