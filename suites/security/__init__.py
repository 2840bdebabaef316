"""No component answers without its credential (guide 8)."""
