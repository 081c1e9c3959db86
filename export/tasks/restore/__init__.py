"""Networks that take clouds off satellite images."""
