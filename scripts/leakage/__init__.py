"""Audit and purge of leaked points: what ``leakage_audit.py`` and ``leakage_purge.py`` run."""
