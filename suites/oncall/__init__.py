"""Cases of the area oncall."""
