"""Pure image functions, numpy in and numpy out: tiling, labels, pairing, regions. Imports nothing of the gateway."""
