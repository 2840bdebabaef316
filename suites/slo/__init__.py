"""Service level objectives under the reference load (guide 3.2, 9)."""
