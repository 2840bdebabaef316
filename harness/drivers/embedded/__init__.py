"""The embedded driver: real components as local processes, with no container engine and no root."""
