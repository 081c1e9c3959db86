"""Engines run models; nothing above this floor knows which one does."""
