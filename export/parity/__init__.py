"""The parity gate: an exported file answers as the torch network does, or it is not built."""
