"""No tenant and no persona ever sees another's content (guide 9.3)."""
