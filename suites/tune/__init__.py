"""The cheat sheet of performance tuning, knob by knob (guide 11)."""
