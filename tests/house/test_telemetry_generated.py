"""Keep what is generated from the catalogue current, and what Prometheus reads acceptable to it."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from heddle.telemetry import catalog, recorder
from heddle.telemetry.catalog import alerts, metrics, slos
from heddle.telemetry.catalog.records import Kind, Metric
from heddle.telemetry.generate import outputs
from tests import programs

ROOT = Path(__file__).resolve().parents[2]
BASE = "docs/runbooks"
needs_promtool = pytest.mark.needs("promtool")


def promtool(*arguments: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    program = programs.find("promtool")
    assert program is not None, "tests that call this are marked as needing it"
    return subprocess.run([program, *arguments], input=stdin, capture_output=True, timeout=60, check=False)


def test_catalogue_has_no_problem() -> None:
    assert catalog.check() == ()


def test_generated_files_are_current() -> None:
    assert outputs.stale(root=ROOT, runbook_base=BASE) == (), "run `python -m heddle.telemetry.generate`"


def test_stale_files_are_found_and_written(tmp_path: Path) -> None:
    outputs.write(root=tmp_path, runbook_base=BASE)
    (tmp_path / outputs.RULES).write_text("groups: []\n", encoding="utf-8")
    leftover = outputs.RUNBOOKS / "HeddleGone.md"
    (tmp_path / leftover).write_text("# Gone\n", encoding="utf-8")

    stale = outputs.stale(root=tmp_path, runbook_base=BASE)
    outputs.write(root=tmp_path, runbook_base=BASE)

    assert set(stale) == {outputs.RULES, leftover}
    assert outputs.stale(root=tmp_path, runbook_base=BASE) == ()


def test_every_runbook_page_has_its_sections() -> None:
    sections = ("Meaning", "Impact", "Diagnosis", "Mitigation", "Verification", "Escalation")

    for alert in alerts.ALL:
        page = (ROOT / outputs.RUNBOOKS / f"{alert.name}.md").read_text(encoding="utf-8")
        assert re.findall(r"^## (\w+)$", page, flags=re.MULTILINE) == list(sections)
        assert page.index("What the user feels") < page.index("How to see it") < page.index("How to stop it")


def test_every_panel_has_a_unit_and_a_matcher() -> None:
    board = json.loads((ROOT / outputs.DASHBOARD).read_text(encoding="utf-8"))
    panels = [panel for panel in board["panels"] if panel["type"] == "timeseries"]

    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    for panel in panels:
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert all("$job" in target["expr"] or target["expr"].startswith("slo:") for target in panel["targets"])


def fill(own: recorder.Recorder, metric: Metric) -> None:
    labels = {label.name: label.values[0] if label.is_closed else "a" for label in metric.labels}
    record = {Kind.COUNTER: own.count, Kind.GAUGE: own.set, Kind.HISTOGRAM: own.observe}[metric.kind]
    record(metric, 1, **labels)


@needs_promtool
def test_promtool_accepts_the_rules() -> None:
    result = promtool("check", "rules", str(ROOT / outputs.RULES))

    assert result.returncode == 0, result.stdout + result.stderr


@needs_promtool
def test_promtool_finds_nothing_in_the_metrics() -> None:
    own = recorder.Recorder()
    for metric in metrics.ALL:
        fill(own, metric)

    result = promtool("check", "metrics", stdin=own.render()[1])

    assert (result.returncode, result.stdout + result.stderr) == (0, b"")


FAST, SLOWLY = "HeddleAdmissionAvailabilityBurnsFast", "HeddleAdmissionAvailabilityBurnsSlowly"


def rules_of(folder: Path, *groups: str) -> Path:
    """Write a rules file with only these groups, since evaluating all of them over days takes long."""
    head, *parts = (ROOT / outputs.RULES).read_text(encoding="utf-8").split("  - name: ")
    kept = [part for part in parts if part.splitlines()[0] in groups]
    assert len(kept) == len(groups)
    file = folder / "rules.yml"
    file.write_text("".join((head, *("  - name: " + part for part in kept))), encoding="utf-8")
    return file


def firing(name: str, *, value: str = "", **labelled: str) -> list[dict[str, object]]:
    """Give what promtool expects of one alert that fires; ``value`` as its summary shows it."""
    (alert,) = (each for each in alerts.ALL if each.name == name)
    labels = {"severity": alert.severity.value, **labelled}
    if alert in alerts.BURNS:
        labels["slo"] = slos.ADMISSION_AVAILABILITY.key
    annotations = {
        "summary": re.sub(r"{{ \$value.*?}}", value, alert.summary).replace(
            "{{ $labels.endpoint }}", labelled.get("endpoint", "")
        ),
        "description": alert.description,
        "runbook_url": f"{BASE}/{name}.md",
    }
    return [{"exp_labels": labels, "exp_annotations": annotations}]


def check_alerts(
    *, rules: Path, interval: str, series: dict[str, str], expected: list[tuple[str, str, bool]], **labelled: str
) -> tuple[int, str]:
    """Replay series over simulated time; ``expected`` holds (time, alert, does it fire)."""
    tests = [
        {"eval_time": at, "alertname": name, "exp_alerts": firing(name, **labelled) if fires else []}
        for at, name, fires in expected
    ]
    document = {
        "rule_files": [str(rules)],
        "evaluation_interval": interval,
        # Without an order, groups are evaluated in any, and an alert may read what was recorded a step earlier.
        "group_eval_order": re.findall(r"^  - name: (.+)$", rules.read_text(encoding="utf-8"), flags=re.MULTILINE),
        "tests": [
            {
                "interval": interval,
                "input_series": [{"series": name, "values": numbers} for name, numbers in series.items()],
                "alert_rule_test": tests,
            }
        ],
    }
    file = rules.with_name("test.yml")
    file.write_text(json.dumps(document), encoding="utf-8")
    result = promtool("test", "rules", str(file))
    return result.returncode, (result.stdout + result.stderr).decode()


@needs_promtool
@pytest.mark.parametrize(
    ("interval", "before", "during", "valid", "bad", "expected"),
    [
        ("1m", 360, 5, 600, 300.0, [("360m", FAST, False), ("363m", FAST, True)]),
        ("1m", 360, 10, 600, 45.0, [("365m", FAST, False), ("368m", FAST, True)]),
        ("10m", 36, 24, 6000, 30.0, [("570m", FAST, False), ("590m", FAST, True)]),
        ("30m", 144, 78, 18_000, 18.0, [("106h", SLOWLY, False), ("110h", SLOWLY, True), ("110h", FAST, False)]),
        ("30m", 144, 78, 18_000, 4.5, [("110h", SLOWLY, False)]),
        ("1m", 360, 1, 1, 1.0, [("361m", FAST, False)]),
    ],
    ids=["50 %", "7.5 %", "0.5 %", "0.1 %", "half the budget", "one failure at one a minute"],
)
def test_burn_alert_fires_when_its_budget_burns(
    interval: str,
    before: int,
    during: int,
    valid: int,
    bad: float,
    expected: list[tuple[str, str, bool]],
    tmp_path: Path,
) -> None:
    slo = slos.ADMISSION_AVAILABILITY
    series = {
        slo.valid: f"0+{valid}x{before + during}",
        slo.bad: f"0x{before} {bad:g}+{bad:g}x{during - 1}",
    }
    rules = rules_of(tmp_path, "heddle-slo-admission-availability", "heddle-burns")

    code, said = check_alerts(rules=rules, interval=interval, series=series, expected=expected)

    assert code == 0, said


@needs_promtool
def test_burn_alert_ends_soon_after_the_errors_do(tmp_path: Path) -> None:
    slo = slos.ADMISSION_AVAILABILITY
    series = {slo.valid: "0+600x380", slo.bad: "0x360 300 600x18"}
    rules = rules_of(tmp_path, "heddle-slo-admission-availability", "heddle-burns")
    # Two minutes of half the requests failing are past the fast pair's limit and just below that of six hours.
    expected = [("362m", FAST, True), ("368m", FAST, False)]

    code, said = check_alerts(rules=rules, interval="1m", series=series, expected=expected)

    assert code == 0, said


@needs_promtool
@pytest.mark.parametrize(
    ("name", "metric", "from_at"),
    [
        ("HeddleCanaryRolledBack", metrics.CANARIES_ROLLED_BACK, "65m"),
        ("HeddleCostsEstimated", metrics.MONEY_ESTIMATED, "80m"),
    ],
)
def test_first_of_its_kind_is_told_though_its_counter_was_not_there_before(
    name: str, metric: Metric, from_at: str, tmp_path: Path
) -> None:
    rules = rules_of(tmp_path, "heddle-states")
    series = {f'{metric.name}{{endpoint="studio"}}': "_x11 1x40"}
    expected = [("50m", name, False), (from_at, name, True), ("100m", name, True), ("200m", name, False)]

    code, said = check_alerts(rules=rules, interval="5m", series=series, expected=expected, endpoint="studio")

    assert code == 0, said


@needs_promtool
@pytest.mark.parametrize(
    ("name", "metric", "numbers", "at", "value"),
    [
        # Within a minute of the first unknown outcome (at 75 s), and within 90 s of a transaction's begin (at 60 s).
        ("HeddleOutcomeUnknown", metrics.ATTEMPTS_UNKNOWN, "0x4 1x20", "120s", "1"),
        ("HeddleTransactionHeld", metrics.OLDEST_TRANSACTION_AGE, "0x4 15+15x20", "135s", "1m 15s"),
    ],
)
def test_state_alert_fires_in_time(
    name: str, metric: Metric, numbers: str, at: str, value: str, tmp_path: Path
) -> None:
    rules = rules_of(tmp_path, "heddle-states")
    expected = [("60s", name, False), (at, name, True)]

    code, said = check_alerts(
        rules=rules, interval="15s", series={metric.name: numbers}, expected=expected, value=value
    )

    assert code == 0, said


@needs_promtool
def test_silence_pages_and_the_watchdog_hears(tmp_path: Path) -> None:
    rules = rules_of(tmp_path, "heddle-states")
    expected = [
        ("5m", "HeddleMetricsAbsent", False),
        ("20m", "HeddleMetricsAbsent", True),
        ("20m", "HeddleMonitoringAlive", True),
    ]

    code, said = check_alerts(rules=rules, interval="1m", series={metrics.BUILD_INFO.name: "1x10"}, expected=expected)

    assert code == 0, said
