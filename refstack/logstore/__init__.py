"""The log store: a stand-in for Loki that takes pushes and answers queries over its HTTP API."""

TITLE = "ragdrill logstore"
"""How it names itself, so that nobody takes it for Loki."""
