"""What all tests here share: one thread that adds up, one export for each network, short runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from tests.support.exports import onnx_once


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Sums in parallel may be ordered differently; one thread makes runs comparable to the bit."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", autouse=True)
def _exported_once() -> Iterator[None]:
    """Builds of one network share its ONNX file, which takes up to a minute.

    That it is one file whenever it is made is the subject of `graphs/test_contract.py`.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("export.build.to_onnx", onnx_once)
        yield


@pytest.fixture(scope="module", autouse=True)
def _evaluated_twice() -> Iterator[None]:
    """Each evaluation of a run draws its curves anew, which takes longer than the steps of a small one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("export.training.loop.EVALUATIONS", 2)
        yield
