"""`heddle why RUN`: tell what a run waits for, down to the cause, and when that is probably over."""

import argparse
import json
from typing import Any

from heddle.cli import complaints, remote


def run(given: argparse.Namespace) -> int:
    """Ask the service and print one sentence, and one of when."""
    api = remote.here()
    found = api.get(f"/v1/runs/{remote.segment(given.run_id)}/why")
    if given.json:
        print(json.dumps(found, indent=2))
        return complaints.Exit.DONE
    print(found["why"])
    print(estimate(found["eta"]))
    return complaints.Exit.DONE


def estimate(eta: dict[str, Any] | None) -> str:
    """Say when a wait is probably over."""
    if eta is None:
        return "Nobody can tell when that is over."
    low, high = eta["low_s"], eta["high_s"]
    word = eta["until"].replace("_", " ")
    return f"It {word} in about {eta['likely_s']:g} s ({low:g} to {high:g} s, {eta['confidence']} confidence)."
