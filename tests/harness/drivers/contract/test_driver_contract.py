"""The driver contract: one body of tests for every driver."""

from __future__ import annotations

import contract_checks as checks
import contract_traffic as traffic
import pytest

from conftest import Subject

pytestmark = pytest.mark.slow


def test_every_role_is_ready(subject: Subject) -> None:
    checks.every_role_is_ready(subject.stack)


def test_ready_means_ready(subject: Subject) -> None:
    checks.ready_means_ready(subject.stack)


def test_endpoints_answer_on_this_host_alone(subject: Subject) -> None:
    checks.endpoints_answer_on_this_host_alone(subject.stack)


def test_an_unknown_role_is_refused_with_the_known_ones(subject: Subject) -> None:
    checks.an_unknown_role_is_refused_with_the_known_ones(subject.stack)


def test_stand_ins_are_marked(subject: Subject) -> None:
    checks.stand_ins_are_marked(subject.stack)


def test_another_process_sees_the_same(subject: Subject) -> None:
    checks.another_process_sees_the_same(subject.stack, subject.lab.attach(subject.stack))


def test_logs_are_whole_and_in_order(subject: Subject) -> None:
    checks.logs_are_whole_and_in_order(subject.stack, subject.asker)


def test_a_restart_keeps_what_was_written(subject: Subject) -> None:
    checks.a_restart_keeps_what_was_written(subject.stack, subject.asker)


def test_a_stopped_role_is_down_until_it_is_started(subject: Subject) -> None:
    checks.a_stopped_role_is_down_until_it_is_started(subject.stack, subject.asker)


def test_a_restart_may_change_settings(subject: Subject) -> None:
    checks.a_restart_may_change_settings(subject.stack)


def test_a_kill_is_a_kill(subject: Subject) -> None:
    checks.a_kill_is_a_kill(subject.stack)


def test_what_was_killed_comes_back_as_it_was(subject: Subject) -> None:
    checks.what_was_killed_comes_back_as_it_was(subject.stack)


def test_a_paused_role_holds_still(subject: Subject) -> None:
    checks.a_paused_role_holds_still(subject.stack, subject.asker)


def test_a_rollout_drops_no_request(subject: Subject) -> None:
    traffic.a_rollout_drops_no_request(subject.stack, subject.asker)


def test_a_bad_rollout_leaves_the_old_one_serving(subject: Subject) -> None:
    traffic.a_bad_rollout_leaves_the_old_one_serving(subject.stack, subject.asker)


def test_what_comes_back_is_not_taken_for_another(subject: Subject) -> None:
    traffic.what_comes_back_is_not_taken_for_another(subject.stack, subject.asker)


def test_links_carry_the_traffic(subject: Subject) -> None:
    traffic.links_carry_the_traffic(subject.stack, subject.asker)


def test_a_toxic_on_a_link_is_felt(subject: Subject) -> None:
    traffic.a_toxic_on_a_link_is_felt(subject.stack, subject.asker)


def test_no_secret_reaches_a_log(subject: Subject) -> None:
    checks.no_secret_reaches_a_log(subject.stack, subject.asker)


def test_a_wiped_store_has_lost_everything(subject: Subject) -> None:
    checks.a_wiped_store_has_lost_everything(subject.stack, subject.asker)
