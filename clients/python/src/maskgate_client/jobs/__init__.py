"""Jobs: work that is left with the gateway, and fetched later."""
