"""Chest radiographs: reader, random changes, recipes, runs and figures of the networks that tell COVID-19 films."""
