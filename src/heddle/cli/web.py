"""`heddle web`: serve the API, the console and the admin until asked to stop."""

import argparse
import os

from heddle.cli import complaints
from heddle.service import database, setup


def run(_given: argparse.Namespace) -> int:
    """Serve HTTP on the address of the settings."""
    limits = setup.beside_service()
    if limits.web_port == 0:
        raise complaints.CommandRefused("HEDDLE_WEB_PORT is 0; `heddle web` needs a port of its own to listen on")
    with database.using(limits) as address:
        setup.complete(os.environ, limits=limits, database_url=address)
        setup.logs(limits)
        # Loaded here too, so that what is misconfigured stops the start with one sentence, not the server's process.
        setup.django()
        from heddle.service import web

        web.serve(limits)
    return complaints.Exit.DONE
