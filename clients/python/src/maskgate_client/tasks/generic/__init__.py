"""Any task of a gateway, as its own description says."""
