"""Learning to turn clicks into masks, and measuring how well: objects, samples, training, simulated clicks."""
