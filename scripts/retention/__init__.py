"""Retention: which documents have outlived their time, and their removal from both stores."""
