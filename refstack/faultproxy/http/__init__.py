"""The HTTP-aware extension of the fault proxy; no part of Toxiproxy's contract."""
