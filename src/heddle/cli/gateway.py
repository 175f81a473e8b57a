"""`heddle gateway`: serve OpenAI's and Replicate's shapes until asked to stop; SIGTERM or Ctrl-C drains it."""

import argparse
import os

from heddle.cli import complaints
from heddle.service import database, ports, setup

_OTHERWISE = "stop what listens there (`heddle up` runs a gateway, too), or name another port with HEDDLE_GATEWAY_PORT"


def run(given: argparse.Namespace) -> int:
    """Run one gateway process."""
    limits = setup.beside_service()
    if limits.gateway_port == 0:
        raise complaints.CommandRefused(
            "HEDDLE_GATEWAY_PORT is 0; `heddle gateway` needs a port of its own to listen on"
        )
    taken = ports.taken(port=limits.gateway_port, host=limits.gateway_host, otherwise=_OTHERWISE)
    with taken, database.using(limits) as address:
        setup.complete(os.environ, limits=limits, database_url=address)
        setup.logs(limits)
        setup.django()
        from heddle.service import gateway

        gateway.run(name=given.name)
    return complaints.Exit.DONE
