"""One folder per task: model specs, data, recipe, training, evaluation, graph."""
