"""Where training computes in bfloat16: only where that is an instruction, since it is emulated elsewhere."""

from __future__ import annotations

import pytest
import torch

from export.training.run import computes_bfloat16


@pytest.mark.parametrize("known", [True, False])
def test_a_processor_computes_in_bfloat16_if_it_has_instructions_for_it(
    monkeypatch: pytest.MonkeyPatch, *, known: bool
) -> None:
    monkeypatch.delenv("DNNL_MAX_CPU_ISA", raising=False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "avx512_bf16": known})
    assert computes_bfloat16("cpu") is known
    assert computes_bfloat16("cuda")


@pytest.mark.parametrize(
    ("allowed", "computes"), [("AVX2", False), ("AVX512_CORE", False), ("AVX512_CORE_BF16", True), ("DEFAULT", True)]
)
def test_convolutions_held_to_older_instructions_compute_in_float32(
    monkeypatch: pytest.MonkeyPatch, allowed: str, *, computes: bool
) -> None:
    monkeypatch.setenv("DNNL_MAX_CPU_ISA", allowed)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    assert computes_bfloat16("cpu") is computes


def test_another_kind_of_processor_computes_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DNNL_MAX_CPU_ISA", raising=False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"architecture": "aarch64"})
    assert not computes_bfloat16("cpu")
