"""The scan for known vulnerabilities: what is installed, what is known of it, what is accepted."""
