"""DICOM and NIfTI: pixels with their place in a patient."""
