"""The list of pytest plugins; no logic lives here."""

pytest_plugins = [
    "harness.plugin.options",
    "harness.plugin.collection",
    "harness.plugin.running",
    "harness.plugin.words",
    "harness.plugin.session",
    "fixtures.evidence",
    "fixtures.stack",
    "fixtures.tenants",
    "fixtures.tokens",
    "fixtures.canaries",
    "fixtures.hostile",
    "fixtures.stores",
    "fixtures.corpus",
    "fixtures.backup",
    "fixtures.scripts",
    "fixtures.faults",
    "fixtures.load",
    "fixtures.alerts",
    "fixtures.heartbeat",
    "fixtures.scenario",
]
