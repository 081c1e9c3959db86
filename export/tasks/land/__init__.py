"""Networks of land cover."""
