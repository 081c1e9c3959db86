"""Checkpoint files: ours, Keras', and those of published programs."""
