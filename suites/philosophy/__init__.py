"""Cases of the area philosophy."""
