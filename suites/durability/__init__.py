"""An acknowledged write is there, whatever dies (guide 5)."""
