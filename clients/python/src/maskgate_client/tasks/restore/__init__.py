"""Satellite images without their clouds."""
