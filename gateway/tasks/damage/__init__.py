"""Building damage: a pre- and a post-disaster image in, a damage map out."""
