"""GeoTIFF and vectors: pixels with their place on Earth."""
