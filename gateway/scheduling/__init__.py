"""When work is done: admission, prices, lanes, turns, worker threads, deadlines."""
