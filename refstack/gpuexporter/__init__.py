"""Figures of the GPUs under the names of NVIDIA's DCGM exporter."""
