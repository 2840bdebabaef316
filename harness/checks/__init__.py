"""Pure functions from samples, histories and contents to verdicts."""
