"""Triton Inference Server, on this host or another."""
