"""`heddle demo`: start the service, run the example on real photographs, write the pictures, tell what happened, stop.

The example's own code does the work through the HTTP API, in a thread; this thread keeps the processes alive, so that
killing any of them in the middle changes nothing but the time it takes. A service that is up already is used as it is.
"""

import argparse
import dataclasses
import importlib
import json
import os
import pathlib
import signal
import statistics
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

from heddle.cli import complaints, progress, remote, table
from heddle.service import example, setup, up

LOG_FILE = "demo.log"
# The provider that dies in the middle: its jobs come back from its ledger, and what was being sent is found again.
VICTIM = "fal"
# What happens to a process that was killed is news; that one was started in order is not.
_NEWS = (
    "was ended",
    "ended with",
    "is gone",
    "is back",
    "could not",
    "gave up",
    "is taken",
    "starting",
    "migrating",
    "ready",
)


@dataclasses.dataclass(slots=True)
class _Outcome:
    """What the thread that runs the shoot leaves."""

    shoot: Any = None
    error: BaseException | None = None


def run(given: argparse.Namespace) -> int:
    """Run the demo; 0 only if every run succeeded and no job was paid for twice."""
    limits = setup.read_settings()
    root = example.find_root()
    if root is None:
        raise complaints.CommandRefused("the example is part of the source: run `make demo` in a checkout of it")
    sys.path.insert(0, str(root))
    demo = importlib.import_module("examples.product_shoot.demo")
    try:
        chosen = demo.choose_photos(given.photos or os.environ.get("PHOTOS"))
    except demo.NoPhotos as error:
        raise complaints.CommandRefused(str(error)) from error
    setup.logs(dataclasses.replace(limits, log_level="warning"))
    out = pathlib.Path(given.out).resolve()
    state_dir = pathlib.Path(limits.state_dir).resolve()
    with progress.Progress(sys.stderr if given.json else sys.stdout) as bar:

        def shoot(
            address: remote.Address, ledgers: Mapping[str, pathlib.Path], disturb: Callable[[], str] | None = None
        ) -> Any:
            api = remote.Api(address)
            _require_workflow(api, demo.WORKFLOW)
            made = demo.Demo(
                api=api, chosen=chosen, out=out, seed=given.seed, ledgers=ledgers, bar=bar, disturb=disturb
            ).run()
            report = importlib.import_module("examples.product_shoot.report")
            (out / "report.html").write_text(report.page(made), encoding="utf-8")
            return made

        try:
            outcome, console_url = _with_own_service(limits, shoot, bar)
        except up.AlreadyUp:
            bar.say(f"using the service that is up in {state_dir}")
            address = remote.find(state_dir=state_dir)
            outcome = _Outcome(shoot=shoot(address, example.ledger_paths(state_dir)))
            console_url = f"{address.url}/console/"
    return _conclude(outcome, demo=demo, out=out, console_url=console_url, is_json=given.json)


def _with_own_service(
    limits: Any,
    shoot: Callable[[remote.Address, Mapping[str, pathlib.Path], Callable[[], str]], Any],
    bar: progress.Progress,
) -> tuple[_Outcome, str]:
    """Start a service, run the shoot beside its supervisor, stop it."""

    outcome = _Outcome()

    def tell(line: str) -> None:
        # Once the shoot is over everything is stopped, which is no news either.
        is_over = outcome.shoot is not None or outcome.error is not None
        if not is_over and any(word in line for word in _NEWS):
            bar.say(f"  {line}")

    with up.running(limits, tell=tell) as started:
        if started.ledgers is None:
            raise complaints.CommandRefused(
                "the demo brings its own heddle.toml; unset HEDDLE_CONFIG_FILE, or run it in a folder without one"
            )
        ledgers = started.ledgers
        address = remote.Address(url=started.addresses.api_url, key=started.addresses.api_key)

        def disturb() -> str:
            os.kill(started.supervisor.pids()[VICTIM], signal.SIGKILL)
            return VICTIM

        def work() -> None:
            try:
                outcome.shoot = shoot(address, ledgers, disturb)
            except BaseException as error:  # noqa: BLE001 - the border of the thread: raised again by who waits for it
                outcome.error = error

        thread = threading.Thread(target=work, name="demo", daemon=True)
        thread.start()
        ending = started.supervisor.run(until=lambda: not thread.is_alive())
        if thread.is_alive() and outcome.error is None:
            outcome.error = KeyboardInterrupt() if ending.name == "STOPPED" else None
        return outcome, started.addresses.console_url


def _require_workflow(api: remote.Api, name: str) -> None:
    loaded = [workflow["name"] for workflow in api.get("/v1/workflows")["items"]]
    if name not in loaded:
        raise complaints.CommandRefused(
            f"the service that is up has no workflow {name}; stop it and run the demo again"
        )


def _conclude(outcome: _Outcome, *, demo: Any, out: pathlib.Path, console_url: str, is_json: bool) -> int:
    if isinstance(outcome.error, demo.DemoFailed):
        raise complaints.CommandRefused(str(outcome.error), status=complaints.Exit.UNWELL)
    if outcome.error is not None:
        raise outcome.error
    if outcome.shoot is None:
        return complaints.Exit.UNWELL
    summary = _summary(outcome.shoot, out=out, console_url=console_url)
    if is_json:
        print(json.dumps(summary, indent=2))
    else:
        print()
        print(table.columns([(name.replace("_", " "), str(value)) for name, value in summary.items() if value != ""]))
    for each in outcome.shoot.finished:
        if each.state != "succeeded":
            print(f"heddle: run {each.run_id} ({each.photo.name}) {each.state}: {each.error}", file=sys.stderr)
    for payment in () if outcome.shoot.account is None else outcome.shoot.account.duplicates:
        print(f"heddle: paid twice: {payment}", file=sys.stderr)
    return complaints.Exit.DONE if outcome.shoot.is_good else complaints.Exit.UNWELL


def _summary(shoot: Any, *, out: pathlib.Path, console_url: str) -> dict[str, Any]:
    finished = shoot.finished
    durations = sorted(each.duration_s for each in finished) or [0.0]
    summary = {
        "runs": len(finished),
        "succeeded": sum(each.state == "succeeded" for each in finished),
        "steps": sum(each.steps for each in finished),
        "attempts": sum(each.attempts for each in finished),
        "retries": sum(each.retries for each in finished),
        "pictures": sum(len(each.shots) for each in finished),
        "made_again": sum(shot.round > 1 for each in finished for shot in each.shots),
        "cost_usd": f"{sum(float(each.cost_usd) for each in finished):.2f}",
        "run_p50_s": round(statistics.median(durations), 1),
        "run_p95_s": round(durations[min(len(durations) - 1, round(0.95 * (len(durations) - 1)))], 1),
        "elapsed_s": round(shoot.elapsed_s, 1),
        "outages": shoot.outages,
    }
    if shoot.victim is not None:
        summary["killed"] = shoot.victim
    if shoot.account is not None:
        account = shoot.account
        summary |= {
            "paid_steps": account.steps,
            "paid_jobs": account.paid_jobs,
            "refunded_jobs": account.refunded_jobs,
            "paid_texts": account.texts,
            "paid_twice": len(account.duplicates),
            "paid_usd": f"{account.paid_nano_usd / 1e9:.2f}",
            "providers": ", ".join(f"{name} {count}" for name, count in sorted(account.providers.items())),
        }
    return summary | {"report": str(out / "report.html"), "console": console_url}
