"""Training and evaluation of networks that label photographs of waste."""
