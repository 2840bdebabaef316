"""Scenarios: fault, alert, playbook, recovery, and the control arm that shows what did it."""
