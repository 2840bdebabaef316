"""The compose driver: the operator's own Compose project, as it is, for the length of a run."""
