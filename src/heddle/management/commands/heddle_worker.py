"""`manage.py heddle_worker`: run one worker of a host project, on its database and with its workflows."""

from typing import Any

from django.core.management import base

from heddle.ports import store
from heddle.providers import registry
from heddle.service import worker


class Command(base.BaseCommand):
    """Run one worker until SIGTERM or Ctrl-C, which drains it."""

    help = "Run one Heddle worker until SIGTERM or Ctrl-C, which drains it."

    def add_arguments(self, parser: base.CommandParser) -> None:
        """Take a name."""
        parser.add_argument("--name", help="name in logs and in the console (default: host and process number)")

    def handle(self, *_: Any, **options: Any) -> None:
        """Work. Raises CommandError with the sentence that names what is wrong."""
        try:
            worker.run(name=options["name"])
        except (registry.EndpointRefused, store.StoreLost) as error:
            raise base.CommandError(str(error)) from error
