"""Training data drawn by code."""
