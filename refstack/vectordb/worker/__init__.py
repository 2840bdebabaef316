"""The process that holds one collection: the engine, its files, and nothing of HTTP."""
