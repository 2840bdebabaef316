"""Cases of the area maintain."""
