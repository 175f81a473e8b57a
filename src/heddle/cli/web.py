"""`heddle web`: serve the API, the console and the admin until asked to stop."""

import argparse
import contextlib
import os

from heddle.cli import complaints
from heddle.config import settings
from heddle.service import database, ports, setup

_OTHERWISE = (
    "stop what listens there (`heddle up` serves the web, too), name another port with HEDDLE_WEB_PORT, or share it, "
    "each server getting some of the requests, with HEDDLE_WEB_PORT_SHARED=true"
)


def run(_given: argparse.Namespace) -> int:
    """Serve HTTP on the address of the settings."""
    limits = setup.beside_service()
    if limits.web_port == 0:
        raise complaints.CommandRefused("HEDDLE_WEB_PORT is 0; `heddle web` needs a port of its own to listen on")
    with _port(limits), database.using(limits) as address:
        setup.complete(os.environ, limits=limits, database_url=address)
        setup.logs(limits)
        # Loaded here too, so that what is misconfigured stops the start with one sentence, not the server's process.
        setup.django()
        from heddle.service import web

        web.serve(limits)
    return complaints.Exit.DONE


def _port(limits: settings.Settings) -> contextlib.AbstractContextManager[None]:
    """Have the port to ourselves, unless it may be shared. Raises PortTaken when it is entered."""
    if limits.web_port_shared:
        return contextlib.nullcontext()
    return ports.taken(port=limits.web_port, host=limits.web_host, otherwise=_OTHERWISE)
