"""A TCP fault proxy that keeps Toxiproxy 2.12's HTTP API, toxics and data semantics.

The README beside this file lists where it departs from the original, and why.
"""

from __future__ import annotations

API_VERSION = "2.12.0"
"""The Toxiproxy release whose contract this server keeps, as told by `GET /version`."""
