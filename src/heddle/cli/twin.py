"""`heddle twin NAME`: serve a local twin of a vendor's API until Ctrl-C."""

import argparse
import asyncio
import logging
import os
import sys

from heddle.cli import complaints
from heddle.twins import registry
from heddle.twins.kit import ledger, options, server


def run(given: argparse.Namespace) -> int:
    """Serve a twin; its address is printed alone on standard output, its log goes to standard error."""
    try:
        twin = registry.make(given, environment=os.environ)
    except options.OptionsRefused as error:
        raise complaints.CommandRefused(str(error)) from None
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format=f"%(asctime)s twin {given.name} %(levelname)s %(message)s"
    )
    try:
        asyncio.run(server.serve(twin, tell=_tell))
    except (OSError, ledger.LedgerDamaged) as error:
        raise complaints.CommandRefused(f"the twin cannot be started: {error}") from None
    return complaints.Exit.DONE


def _tell(address: str) -> None:
    print(address)
    sys.stdout.flush()
