"""What a dashboard asks and promises is read from it as Grafana would, and its faults are told."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from harness.checks.contract import catalogue
from harness.checks.dashboards import (
    has_data,
    panel_problems,
    panels,
    resolved,
    shape_problems,
    variables,
)
from harness.drivers.grafana import provisioning, shipped_dashboards

BOARD: dict[str, Any] = {
    "uid": "x",
    "title": "X",
    "description": "What x does.",
    "schemaVersion": 39,
    "tags": ["owner:SRE"],
    "templating": {
        "list": [
            {"name": "datasource", "type": "datasource", "query": "prometheus"},
            {"name": "gpu", "type": "query", "query": {"query": "label_values(load, gpu)"}},
        ]
    },
    "panels": [
        {
            "id": 1,
            "type": "timeseries",
            "title": "Load",
            "datasource": {"uid": "${datasource}"},
            "fieldConfig": {
                "defaults": {
                    "unit": "percent",
                    "thresholds": {"steps": [{"value": None}, {"value": 80}]},
                    "custom": {"thresholdsStyle": {"mode": "line"}},
                    "mappings": [{"type": "value", "options": {"0": {"text": "idle"}}}],
                }
            },
            "targets": [{"expr": 'max by (gpu) (load{gpu=~"$gpu"})', "legendFormat": "{{gpu}}"}],
        }
    ],
}
KNOWN = catalogue(
    {"gpu": '# TYPE load gauge\nload{gpu="0"} 1\n# TYPE asks counter\nasks_total 1\n'}
)


def board(change: Any = None) -> dict[str, Any]:
    made = copy.deepcopy(BOARD)
    if change is not None:
        change(made)
    return made


def test_a_panel_is_read_with_unit_limits_queries_and_texts() -> None:
    (panel,) = panels(BOARD)
    assert (panel.unit, panel.limits, panel.texts) == ("percent", (80.0,), {"0": "idle"})
    assert panel.queries[0].legend == "{{gpu}}" and panel.name == "x: Load"


def test_panels_inside_rows_are_read_too() -> None:
    def fold(made: dict[str, Any]) -> None:
        made["panels"] = [{"id": 9, "type": "row", "panels": made["panels"]}]

    assert [panel.title for panel in panels(board(fold))] == ["Load"]


def test_a_variable_says_which_label_of_which_series_it_asks_for() -> None:
    datasource, gpu = variables(BOARD)
    assert gpu.asks == ("load", "gpu") and datasource.asks is None


def test_every_value_of_a_variable_is_put_into_the_query() -> None:
    text = 'rate(a{x=~"$gpu"}[$__rate_interval]) + b{x=~"${gpu:regex}"}'
    assert resolved(text, {"gpu": ("0",)}) == 'rate(a{x=~"0"}[1m]) + b{x=~"0"}'
    assert resolved('a{x=~"$gpu"}', {"gpu": ("a-b", "c.d")}) == 'a{x=~"(a-b|c\\\\.d)"}'
    with pytest.raises(ValueError, match="gpu has no value"):
        resolved(text, {"gpu": ()})


def _panel(made: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = made["panels"][0]
    return found


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda made: made.pop("uid"), "has no uid"),
        (lambda made: made["panels"].append(_panel(made)), "two panels of one id"),
        (lambda made: made.update(panels=[]), "has no panel"),
        (lambda made: _panel(made).update(targets=[]), "lacks a title, a unit or a query"),
        (lambda made: _panel(made)["fieldConfig"]["defaults"].pop("unit"), "lacks a title"),
        (lambda made: _panel(made)["fieldConfig"]["defaults"].pop("custom"), "does not show them"),
        (lambda made: _panel(made)["targets"][0].update(expr="a{b=~'$gpus'}"), "variable gpus"),
        (lambda made: _panel(made).update(datasource={"uid": "P1"}), "one data source, P1"),
    ],
)
def test_what_keeps_a_dashboard_from_being_read_is_told(change: Any, told: str) -> None:
    assert shape_problems(board()) == []
    assert any(told in problem for problem in shape_problems(board(change)))


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("load_percent", "which nothing exports"),
        ('load{card="0"}', "names the label card"),
        ("max by (card) (load)", "names the label card"),
        ("rate(load[1m])", "which is a gauge"),
        ("max by (gpu (load)", "no PromQL"),
        ('load{gpu=~"$card"}', "card has no value"),
    ],
)
def test_a_query_that_reads_what_is_not_there_is_told(expression: str, told: str) -> None:
    made = board(lambda made: _panel(made)["targets"][0].update(expr=expression))
    (problem,) = panel_problems(panels(made)[0], {"gpu": ("0",)}, KNOWN)
    assert told in problem and problem.startswith("x: Load")
    assert panel_problems(panels(BOARD)[0], {"gpu": ("0",)}, KNOWN) == []


@pytest.mark.parametrize(
    ("values", "data"),
    [([], False), ([[1, "NaN"]], False), ([[1, "+Inf"]], False), ([[1, "NaN"], [2, "0"]], True)],
)
def test_only_a_number_counts_as_data(values: list[list[Any]], data: bool) -> None:
    assert has_data([{"metric": {}, "values": values}]) is data
    assert has_data([]) is False


def test_the_shipped_dashboards_can_be_read_and_are_provisioned() -> None:
    for name, text in shipped_dashboards().items():
        document = json.loads(text)
        assert shape_problems(document) == [], name
        assert name == f"{document['uid']}.json"
    assert set(provisioning()) == {
        "provisioning/dashboards/rag.yml",
        "provisioning/datasources/prometheus.yml",
    }
