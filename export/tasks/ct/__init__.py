"""Networks that label CT slices."""
