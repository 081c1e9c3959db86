"""One thin router per task: parse, call the task, negotiate the answer."""
