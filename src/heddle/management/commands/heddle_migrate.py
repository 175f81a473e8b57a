"""`manage.py heddle_migrate`: make partitions and apply heddle.toml, after the host's own `migrate`."""

from typing import Any

from django.core.management import base

from heddle import wiring
from heddle.config import deployment
from heddle.providers import registry
from heddle.service import migrate


class Command(base.BaseCommand):
    """Make Heddle's partitions and apply its deployment file; a second run changes nothing."""

    help = "Make Heddle's partitions and apply heddle.toml; run it after migrate."

    def handle(self, *_: Any, **__: Any) -> None:
        """Do it. Raises CommandError with the sentence that names what is wrong."""
        limits = wiring.house_settings()
        try:
            made, applied = migrate.ensure(wiring.read_deployment(limits))
        except (deployment.DeploymentRefused, registry.EndpointRefused) as error:
            raise base.CommandError(str(error)) from error
        endpoints = "nothing to apply" if applied is None else f"{applied.endpoints} endpoints applied"
        self.stdout.write(f"partitions made: {len(made)}; {limits.config_file}: {endpoints}")
