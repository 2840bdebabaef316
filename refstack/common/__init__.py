"""What every service of the reference stack shares: settings, logs, errors, metrics, serving."""

VERSION = "0.1.0"
"""Version of the reference stack, shown by every service's `/healthz` and build metrics."""
