"""The containers driver: a stack of containers, each role from an image."""
