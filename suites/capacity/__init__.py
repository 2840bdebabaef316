"""Cases of the area capacity."""
