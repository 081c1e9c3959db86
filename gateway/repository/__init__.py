"""The model repository on disk: cards, configurations, and what is wrong with them."""
