"""Ragdrill: proves that a RAG stack does what its day-two operations guide says."""

from harness.core.registry import conformance, needs

__version__ = "0.1.0"
__all__ = ["__version__", "conformance", "needs"]
