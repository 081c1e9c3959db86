"""One pipeline per task: decoded images in, result objects out; no HTTP, no bytes."""
