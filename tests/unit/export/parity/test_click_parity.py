"""The gate for interactive models: whole graphs, an encoder and its head, and one after the other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from export.errors import ParityError
from export.graphs.contract import graph_of
from export.graphs.runners import FileFormat
from export.parity.cases import Case, Files
from export.parity.gate import prove
from export.parity.inputs import KINDS, draw_clicked
from export.tasks.interactive.graph import cases_of
from export.tasks.interactive.spec import InteractiveSpec
from gateway.vision.clicks import as_points, click_map
from tests.support.checkpoints import SIZE, checkpoint, small_entries, untrained
from tests.support.exports import exported, graph, refinement

pytestmark = [pytest.mark.processors, pytest.mark.training]

FORMATS: tuple[FileFormat, ...] = ("onnx", "torchscript")


HALVES = graph("iog_refine_encoder"), graph("iog_refine")


def files(*formats: FileFormat) -> tuple[Files, Files]:
    encoder, head = ({each: exported(name, each) for each in formats} for name in ("iog_refine_encoder", "iog_refine"))
    return encoder, head


def perturbed(file: bytes, layer: str, amount: float) -> bytes:
    """Return an ONNX file with the weights of one layer multiplied by 1 + `amount`."""
    proto = onnx.load_from_string(file)
    [weight] = [tensor for tensor in proto.graph.initializer if tensor.name.endswith(layer)]
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(1 + amount), weight.name))
    return bytes(proto.SerializeToString())


def test_halves_and_their_composition_are_compared_on_every_kind_of_crops_and_batch() -> None:
    parity = prove(cases_of(refinement(), HALVES, files(*FORMATS), 0.5), 8)
    assert {(d.part, d.format, d.tiles, d.batch) for d in parity.comparisons} == {
        (part, file_format, kind, batch)
        for part in ("encoder", "head", "composition")
        for file_format in FORMATS
        for kind in KINDS
        for batch in (1, 3, 8)
    }
    assert len(parity.comparisons) == 3 * 2 * 3 * 3
    assert all(parity.excess(drift) <= 1 for drift in parity.comparisons)
    assert any(d.feature_difference > 0 for d in parity.comparisons if d.part == "encoder")
    assert all(d.probability_difference == 0 for d in parity.comparisons if d.part == "encoder")
    assert all(d.feature_difference == 0 for d in parity.comparisons if d.part != "encoder")


@pytest.mark.parametrize(
    ("name", "layer"), [("iog", "Fine_net.final_predict.1.weight"), ("dextr", "layer5.final.weight")]
)
def test_a_whole_graph_is_compared_once(name: str, layer: str) -> None:
    file = exported(name, "onnx")
    parity = prove(cases_of(untrained(name), [graph(name)], [{"onnx": file}], 0.5), 3)
    assert {(d.part, d.batch) for d in parity.comparisons} == {("whole", 1), ("whole", 3)}
    with pytest.raises(ParityError, match=r"^onnx on (noise|constant|natural) tiles, batch 1: probabilities differ"):
        prove(cases_of(refinement(), [graph(name)], [{"onnx": perturbed(file, layer, 0.5)}], 0.5), 1)


def test_a_changed_encoder_closes_the_gate() -> None:
    encoder, head = files("onnx")
    changed: Files = {"onnx": perturbed(encoder["onnx"], "backbone.layer4.1.conv3.weight", 0.5)}
    encoding, _, composition = cases_of(refinement(), HALVES, (changed, head), 0.5)
    with pytest.raises(ParityError, match=r"^onnx encoder on .*: features, .* differ by up to 0\.\d+ of the largest"):
        prove([encoding], 1)
    with pytest.raises(ParityError, match=r"^onnx composition on .*: probabilities differ"):
        prove([composition], 1)


def test_a_changed_head_closes_the_gate() -> None:
    encoder, head = files("onnx")
    changed: Files = {"onnx": perturbed(head["onnx"], "Fine_net.final_predict.1.weight", 0.5)}
    for case in cases_of(refinement(), HALVES, (encoder, changed), 0.5)[1:]:
        with pytest.raises(ParityError, match=rf"^onnx {case.part} on .*: probabilities differ"):
            prove([case], 1)


def test_the_composition_shows_what_the_halves_hide() -> None:
    """An encoder and a head of two networks each pass on their own."""
    stranger: Files = {"onnx": exported("iog_refine_encoder", "onnx", 1)}
    halves = graph("iog_refine_encoder", 1), HALVES[1]
    encoding, _, composition = cases_of(refinement(), halves, (stranger, files("onnx")[1]), 0.5)
    prove([encoding], 1)
    with pytest.raises(ParityError, match="composition"):
        prove([composition], 1)


def test_masks_are_compared_at_the_threshold() -> None:
    answer = (np.full((1, 4, 4), 127, np.uint8),)
    truth = (np.full((1, 4, 4), 128, np.uint8),)
    whole = graph("iog")
    shares = [
        cases_of(refinement(), [whole], [{}], level)[0].deviation(truth, answer).flipped_share for level in (0.5, 0.6)
    ]
    assert shares == [1, 0]


def test_features_beyond_half_precision_close_the_gate() -> None:
    encoding: Case = cases_of(refinement(), HALVES, ({}, {}), 0.5)[0]
    sound, beyond = (np.ones((1, 2), np.float16),), (np.array([[np.inf, 1]], np.float16),)
    assert encoding.deviation(sound, sound).feature_difference == 0
    assert encoding.deviation(sound, (np.array([[1.5, 1]], np.float16),)).feature_difference == 0.5
    assert encoding.deviation(beyond, beyond).feature_difference == np.inf
    assert encoding.deviation(sound, (np.array([[np.nan, 1]], np.float16),)).feature_difference == np.inf


def test_an_answer_that_is_no_number_closes_the_gate() -> None:
    encoding = cases_of(refinement(), HALVES, ({}, {}), 0.5)[0]

    def empty(batches: object) -> tuple[np.ndarray, ...]:
        return tuple(np.full_like(each, np.nan) for each in encoding.reference(batches))  # type: ignore[arg-type]

    with pytest.raises(ParityError, match=r"onnx encoder on noise tiles, batch 1: features, .* differ by up to inf"):
        prove([replace(encoding, runners={"onnx": empty})], 1)


@pytest.mark.parametrize("maps", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_drawn_clicks_are_the_same_every_time_and_never_taken_back(kind: str, maps: int) -> None:
    drawn, again = (draw_clicked(kind, maps, 5, SIZE) for _ in range(2))  # type: ignore[arg-type]
    assert [batch.shape for batch in drawn] == [(5, SIZE, SIZE, 3), (5, SIZE, SIZE, maps), (5, SIZE, SIZE, maps)]
    assert all(batch.dtype == np.uint8 for batch in drawn)
    assert all(np.array_equal(a, b) for a, b in zip(drawn, again, strict=True))
    assert (drawn.clicks >= drawn.first).all()
    assert np.array_equal(drawn.clicks, drawn.first) == (kind == "natural" and maps == 1)


def test_natural_clicks_are_of_a_person() -> None:
    _, first, clicks = draw_clicked("natural", 2, 4, 256)
    for before, after in zip(first, clicks, strict=True):
        assert [(before[..., i] == 255).sum() for i in range(2)] == [1, 4]
        assert [(after[..., i] == 255).sum() for i in range(2)] == [2, 5]
        [[y, x]] = np.argwhere(before[..., 0] == 255)
        np.testing.assert_array_equal(before[..., 0], click_map(as_points([(x, y)]), 256, 5))
        (top, left), (bottom, right) = (extreme(np.argwhere(before[..., 1] == 255), 0) for extreme in (np.min, np.max))
        assert top < y < bottom
        assert left < x < right
    _, extreme_points, _ = draw_clicked("natural", 1, 4, 256)
    assert all((each == 255).sum() == 4 for each in extreme_points)


def test_graphs_of_no_contract_are_refused() -> None:
    for wrong in ([HALVES[0]], [HALVES[1], HALVES[0]], []):
        with pytest.raises(ValueError, match="no tensor contract"):
            cases_of(refinement(), wrong, [{}] * len(wrong), 0.5)


def test_entries_ask_for_parts_that_the_network_has() -> None:
    network = untrained("iog")
    for entry in small_entries("iog_refine"):
        assert isinstance(entry, InteractiveSpec)
        with pytest.raises(ValueError, match=f"has no {entry.part}"):
            graph_of(network, checkpoint("iog"), entry)
