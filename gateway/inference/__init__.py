"""Models run for one request: tiles gathered, inferred some ahead, stitched."""
