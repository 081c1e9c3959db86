"""A room per task: what its calls send and how their answers read, typed, and its command."""
