"""Cases of the area monitor."""
