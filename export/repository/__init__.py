"""What is written beside a model file: card, Triton configuration, labels."""
