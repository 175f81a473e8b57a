"""`heddle worker`: run one worker until asked to stop; SIGTERM or Ctrl-C drains it."""

import argparse
import os

from heddle.cli import complaints
from heddle.service import database, setup


def run(given: argparse.Namespace) -> int:
    """Run one worker process."""
    limits = setup.beside_service()
    with database.using(limits) as address:
        setup.complete(os.environ, limits=limits, database_url=address)
        setup.logs(limits)
        setup.django()
        from heddle.service import worker

        worker.run(name=given.name)
    return complaints.Exit.DONE
