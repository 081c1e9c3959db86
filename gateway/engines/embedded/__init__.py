"""ONNX Runtime in the gateway's own process."""
