"""What the API promises its clients: schemas, versions, deprecations (guide 12)."""
