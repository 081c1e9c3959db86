"""Networks that turn clicks into masks."""
