"""Training and evaluation of the networks of CT slices."""
