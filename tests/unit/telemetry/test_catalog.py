"""Prove that the catalogue is sound, and that its checks find each kind of fault."""

import dataclasses

import pytest

from heddle.config import settings
from heddle.core import faults
from heddle.telemetry import catalog
from heddle.telemetry.catalog import alerts, checks, events, expressions, labels, metrics, runbooks, slos
from heddle.telemetry.catalog.records import Command, Label, Merge
from heddle.telemetry.catalog.runbooks import commands


def test_catalogue_as_shipped_has_no_problem() -> None:
    assert catalog.check() == ()


def test_worst_case_of_all_metrics_stays_under_ten_thousand_series() -> None:
    assert sum(metric.series_max for metric in catalog.METRICS) <= 10_000


def test_fault_label_repeats_the_law_when_a_fault_is_added() -> None:
    assert set(labels.FAULT.values) == {fault.value for fault in faults.Fault}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "heddle_commits"}, "end in _total"),
        ({"name": "commits_total"}, "not heddle_"),
        ({"name": "heddle_wait_ms_total"}, "base units"),
        ({"unit": "seconds"}, "does not end in its unit"),
        ({"help": "Commits"}, "not a sentence"),
        ({"buckets": (1.0,), "buckets_source": "ours"}, "only they, have buckets"),
        ({"merge": Merge.SUM_OF_LIVING}, "how they are merged"),
        ({"labels": (Label(name="run_id", meaning="The run.", values_max=10),)}, "has no bound"),
        ({"labels": (Label(name="customer", meaning="Any.", values_max=100_000),)}, "is the most"),
        ({"labels": (labels.STAGE, labels.STAGE)}, "stands twice"),
    ],
)
def test_metric_with_a_fault_is_named(change: dict[str, object], said: str) -> None:
    broken = dataclasses.replace(metrics.COMMITS, **change)  # type: ignore[arg-type]

    assert any(said in problem for problem in checks.problems_of_metric(broken))


def test_histogram_with_falling_buckets_is_named() -> None:
    broken = dataclasses.replace(metrics.STAGE_DURATION, buckets=(2.0, 1.0))

    assert any("do not rise" in problem for problem in checks.problems_of_metric(broken))


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("heddle_nothing_total > 0", "no metric heddle_nothing_total"),
        ("heddle_commits_total_bucket > 0", "no metric heddle_commits_total_bucket"),
        ('rate(heddle_commits_total{stage="clam"}[5m])', "stage is never 'clam'"),
        ('rate(heddle_commits_total{stage=~"claim|setle"}[5m])', "stage is never 'setle'"),
        ('heddle_commits_total{queue="a"}', "has no label queue"),
        ("sum by (endpoint) (heddle_commits_total)", "grouped by endpoint"),
        ("slo:sli_error:ratio_rate7m > 1", "no rule records"),
    ],
)
def test_expression_with_a_name_nobody_emits_is_named(expression: str, said: str) -> None:
    assert any(said in problem for problem in checks.problems_of_expression("here", expression))


def test_expression_over_histogram_parts_is_accepted() -> None:
    expression = 'histogram_quantile(0.9, sum by (le, stage) (rate(heddle_stage_duration_seconds_bucket{le="1"}[5m])))'

    problems = list(checks.problems_of_expression("here", expression.replace('{le="1"}', "")))

    assert problems == []


def test_alert_without_runbook_is_named() -> None:
    assert "no runbook" in " ".join(checks.problems_of_alert(alerts.ALL[0], frozenset()))


def test_runbook_without_alert_is_named() -> None:
    assert "no alert" in " ".join(checks.problems_of_runbook(runbooks.ALL[0], frozenset()))


@pytest.mark.parametrize("name", [each for each in commands.VARIABLES if each.startswith("HEDDLE_")])
def test_variable_of_a_runbook_when_exported_then_the_command_line_does_not_refuse_it(name: str) -> None:
    assert settings.load(environ={name: "http://127.0.0.1:8700"}) == settings.load(environ={})


def test_diagnosis_that_changes_something_is_named() -> None:
    runbook = runbooks.ALL[0]
    command = Command(line="heddle migrate", expect="done", is_read_only=False)
    action = dataclasses.replace(runbook.diagnosis[0], commands=(command,))
    broken = dataclasses.replace(runbook, diagnosis=(action,))

    problems = checks.problems_of_runbook(broken, frozenset({runbook.alert}))

    assert any("belongs to mitigation" in problem for problem in problems)


def test_event_with_a_reserved_field_is_named() -> None:
    broken = dataclasses.replace(
        events.RUN_FAILED, fields=(dataclasses.replace(events.RUN_FAILED.fields[0], name="run_id"),)
    )

    assert any("every line has" in problem for problem in checks.problems_of_event(broken))


def test_every_objective_has_a_page_and_a_ticket() -> None:
    names = {alert.name for alert in alerts.ALL}

    for slo in slos.ALL:
        assert {alerts.burn_alert_name(slo, severity) for severity in (alerts.PAGE, alerts.TICKET)} <= names


def test_matcher_is_added_to_every_selector() -> None:
    added = expressions.with_matcher('sum(heddle_a_total{stage="claim"}) / heddle_b', 'job="x"')

    assert added == 'sum(heddle_a_total{stage="claim",job="x"}) / heddle_b{job="x"}'


def test_alert_of_callbacks_when_one_is_believed_and_of_no_call_in_flight_then_it_counts_for_nothing() -> None:
    alert = next(each for each in alerts.ALL if each.name == "HeddleCallbacksRefused")

    counted = [selector.matchers for selector in expressions.selectors(alert.expression)]

    assert counted == [(("outcome", "=", "refused"),)]
    assert "stray" in labels.CALLBACK_OUTCOME.values
