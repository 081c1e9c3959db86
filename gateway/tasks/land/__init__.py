"""Land cover on satellite images, and roads near what was destroyed."""
