"""Cases of the area gpu."""
