"""Measures what no service exports of itself: backups, queues, keys, points, bucket room, leaks."""
