"""Networks within their tensor contracts, as graphs and files."""
