"""Networks within their tensor contracts: everything that is computed around them inside the exported graph."""
