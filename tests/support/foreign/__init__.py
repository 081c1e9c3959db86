"""Clients of others, each in a process of its own: two that bring the same protobuf messages cannot be in one."""
