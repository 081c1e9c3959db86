"""Networks that label photographs of waste."""
