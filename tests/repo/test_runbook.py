"""The runbook is what the playbooks say, and every alert's link resolves into it."""

from __future__ import annotations

import yaml

from harness.cli import runbook
from harness.core.run import CHECKOUT


def test_the_committed_page_is_what_the_playbooks_say() -> None:
    assert runbook.PAGE.read_text() == runbook.render(), "next: make catalogue"


def test_the_runbook_link_of_each_alert_resolves() -> None:
    links = []
    for path in sorted((CHECKOUT / "refstack/config/prometheus/rules").glob("*.yml")):
        for group in yaml.safe_load(path.read_text())["groups"]:
            links += [rule["annotations"]["runbook"] for rule in group["rules"] if "alert" in rule]
    assert links
    for link in links:
        page, _, anchor = link.partition("#")
        assert f'<a id="{anchor}"></a>' in (CHECKOUT / page).read_text(), link
