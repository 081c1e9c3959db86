"""Networks that grade one building on a crop."""
