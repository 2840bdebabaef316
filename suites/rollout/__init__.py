"""A gateway is replaced while people use it (guide 6.1)."""
