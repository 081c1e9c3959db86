"""The archive of a hospital: series read from it and results stored in it."""
