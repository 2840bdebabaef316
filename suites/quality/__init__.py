"""Retrieval quality on labelled questions (guide 4)."""
