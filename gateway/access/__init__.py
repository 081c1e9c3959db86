"""Who may call what, and how often: keys, scopes, quotas, and the audit line."""
