"""Embedding models: spaces kept apart, canaries, promotion (guide 6.3)."""
