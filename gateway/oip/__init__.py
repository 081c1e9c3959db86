"""The Open Inference Protocol over either engine."""
