"""Networks that map building damage."""
