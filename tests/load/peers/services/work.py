"""What every peer does with a pair: OpenCV decodes, ONNX Runtime labels, OpenCV encodes.

As the bare loop of `tests/load/bench.py` does it, on one thread. Needs no more than numpy, OpenCV and ONNX Runtime,
because it runs in the environments of the peers.
"""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort

REPOSITORY = "PEERS_REPOSITORY"
"""The environment variable that names the model repository."""


class PairWork:
    """Labels pairs by the model whose tile is as large as they are."""

    def __init__(self) -> None:
        """Open every model of the repository."""
        cv2.setNumThreads(1)
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        files = sorted(Path(os.environ[REPOSITORY]).glob("*/1/model.onnx"))
        sessions = [ort.InferenceSession(file, options, providers=["CPUExecutionProvider"]) for file in files]
        self._by_side = {session.get_inputs()[0].shape[1]: session for session in sessions}

    def __call__(self, pre: bytes, post: bytes) -> bytes:
        """Return the label map of a pair of images as a grey PNG."""
        images = {name: _decoded(part)[np.newaxis] for name, part in (("pre", pre), ("post", post))}
        session = self._by_side[images["pre"].shape[1]]
        (labels,) = session.run(["label_map"], images)
        return cv2.imencode(".png", labels[0])[1].tobytes()


def _decoded(part: bytes) -> cv2.typing.MatLike:
    image = cv2.imdecode(np.frombuffer(part, np.uint8), cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise ValueError("not an image that OpenCV reads")
    return image
