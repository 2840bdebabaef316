"""What a backup brings back (guide 5)."""
