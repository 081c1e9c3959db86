"""A task that lies outside the tree: all there is of it is in this folder."""
