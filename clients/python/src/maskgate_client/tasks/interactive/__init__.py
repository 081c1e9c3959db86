"""Objects of any image by clicks, boxes and outlines."""
