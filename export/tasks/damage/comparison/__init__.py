"""Every damage model of a repository side by side, the two that are fused among them."""
