"""Breaking a target on purpose: faults, playbooks and the scenarios that join them."""
