"""Rotation of keys with no failed request: the token signing key, and a provider's."""
