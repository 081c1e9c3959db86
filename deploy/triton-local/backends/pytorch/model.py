"""Triton's backend `pytorch` in Python: what the wheel's server runs `model.pt` (TorchScript) with.

NVIDIA's container has a native backend of this name and needs nothing of this folder. Like it, this
one names outputs `<name>__<index>`, the index being the place in what the graph returns.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils
from answer_in_time import answer_in_time_or_end

try:
    import torch
except ImportError as missing:
    raise ImportError("TorchScript models need torch: .venv/triton/bin/python -m pip install torch") from missing


class TritonPythonModel:
    """One instance of one version of a TorchScript model, on a GPU where the configuration names one."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the version's model file.

        Args:
            args: what the Python backend tells a model: its configuration, its folder, its version and its device.
        """
        config = json.loads(args["model_config"])
        on_gpu = args["model_instance_kind"] == "GPU"
        self._device = torch.device(f"cuda:{args['model_instance_device_id']}" if on_gpu else "cpu")
        file = config["default_model_filename"] or "model.pt"
        path = Path(args["model_repository"], args["model_version"], file)
        self._network = torch.jit.load(str(path), map_location=self._device).eval()
        self._inputs = [tensor["name"] for tensor in config["input"]]
        answer_in_time_or_end()

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Run the requests of one dynamic batch as one call, and answer each with the outputs it asked for."""
        batches = [[pb_utils.get_input_tensor_by_name(r, name).as_numpy() for r in requests] for name in self._inputs]
        with torch.inference_mode():
            answer = self._network(*(torch.from_numpy(np.concatenate(parts)).to(self._device) for parts in batches))
        outputs = [tensor.cpu().numpy() for tensor in (answer if isinstance(answer, tuple) else (answer,))]
        ends = np.cumsum([len(part) for part in batches[0]])
        return [
            pb_utils.InferenceResponse(
                [
                    pb_utils.Tensor(name, outputs[_index(name)][end - len(part) : end])
                    for name in request.requested_output_names()
                ]
            )
            for request, part, end in zip(requests, batches[0], ends, strict=True)
        ]


def _index(name: str) -> int:
    """Return the place of the output `<name>__<index>`."""
    return int(name.rpartition("__")[2])
