"""Drivers: how a target is booted and controlled."""
