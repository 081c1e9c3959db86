"""Networks that score chest radiographs."""
