"""The vector store becomes another version, and back (guide 6.2)."""
