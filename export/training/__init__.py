"""Training and evaluation of the building-damage networks."""
