"""Builds the images of the reference stack with nothing but Debian and PyPI packages."""
