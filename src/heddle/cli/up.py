"""`heddle up`: start everything on this machine, say where it is, serve until Ctrl-C, drain."""

import argparse
import sys

from heddle.cli import complaints
from heddle.service import setup, supervisor, up


def run(_given: argparse.Namespace) -> int:
    """Run the service until it is asked to stop; 1 when something kept dying."""
    limits = setup.read_settings()
    setup.logs(limits)
    with up.running(limits, tell=_tell) as started:
        _tell("")
        _tell(f"  console  {started.addresses.console_url}")
        _tell(f"  api      {started.addresses.api_url}/v1")
        if started.addresses.gateway_url:
            _tell(f"  gateway  {started.addresses.gateway_url}")
        if started.addresses.api_key:
            _tell(f"  key      {started.addresses.api_key}")
        _tell("")
        _tell("Heddle is up. Ctrl-C drains and stops it.")
        ending = started.supervisor.run()
    if ending is supervisor.Ending.GAVE_UP:
        return complaints.Exit.UNWELL
    _tell("Heddle has stopped; what was accepted goes on at the next start.")
    return complaints.Exit.DONE


def _tell(line: str) -> None:
    print(line)
    sys.stdout.flush()
