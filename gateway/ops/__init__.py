"""What keeps the process answerable: admission, worker threads, deadlines, metrics, logs."""
