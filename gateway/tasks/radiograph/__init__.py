"""Class scores of chest radiographs."""
