"""A stand-in for a Qdrant server: its REST API on Qdrant's own storage engine."""

API_VERSION = "1.19.0"
TITLE = "qdrant-edge stand-in"
