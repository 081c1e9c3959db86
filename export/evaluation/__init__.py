"""Models run as the gateway runs them, and what they answer on labelled data counted."""
