"""Land cover on satellite images, and roads near damage."""
