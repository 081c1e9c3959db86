"""Triton's backend `onnxruntime` in Python: what the wheel's server runs `model.onnx` with.

NVIDIA's container has a native backend of this name and needs nothing of this folder.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime as ort
import triton_python_backend_utils as pb_utils
from answer_in_time import answer_in_time_or_end

_CUDA = {"cudnn_conv_algo_search": "HEURISTIC", "cudnn_conv_use_max_workspace": "1"}
"""As the profile `configs/cuda.pbtxt` has it for the native backend."""


class TritonPythonModel:
    """One instance of one version of an ONNX model, on a GPU where the configuration names one."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the version's model file.

        Args:
            args: what the Python backend tells a model: its configuration, its folder, its version and its device.
        """
        config = json.loads(args["model_config"])
        provider: tuple[str, dict[str, str]] = ("CPUExecutionProvider", {})
        if args["model_instance_kind"] == "GPU" and "CUDAExecutionProvider" in ort.get_available_providers():
            ort.preload_dlls()
            provider = ("CUDAExecutionProvider", {"device_id": args["model_instance_device_id"], **_CUDA})
        options = ort.SessionOptions()
        # Threads that spin between two batches would take the core from whoever feeds the next one.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        file = config["default_model_filename"] or "model.onnx"
        path = Path(args["model_repository"], args["model_version"], file)
        self._session = ort.InferenceSession(path, options, providers=[provider])
        self._inputs = [tensor["name"] for tensor in config["input"]]
        answer_in_time_or_end()

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Run the requests of one dynamic batch as one call, and answer each with the outputs it asked for."""
        batches = [[pb_utils.get_input_tensor_by_name(r, name).as_numpy() for r in requests] for name in self._inputs]
        feed = {
            name: parts[0] if len(parts) == 1 else np.concatenate(parts)
            for name, parts in zip(self._inputs, batches, strict=True)
        }
        wanted = sorted({name for request in requests for name in request.requested_output_names()})
        outputs = dict(zip(wanted, self._session.run(wanted, feed), strict=True))
        ends = np.cumsum([len(part) for part in batches[0]])
        return [
            pb_utils.InferenceResponse(
                [
                    pb_utils.Tensor(name, outputs[name][end - len(part) : end])
                    for name in request.requested_output_names()
                ]
            )
            for request, part, end in zip(requests, batches[0], ends, strict=True)
        ]
