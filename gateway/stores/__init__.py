"""Files that lie elsewhere, in the stores that the operator names."""
