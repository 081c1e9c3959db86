"""Jobs: work that callers leave, fetch later, and lose to no crash."""
