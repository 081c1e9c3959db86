"""Maskgate in CVAT: functions for `cvat-cli`, and an interactor for its serverless platform."""
