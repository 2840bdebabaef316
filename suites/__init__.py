"""Conformance cases, one package per area of the guide."""
