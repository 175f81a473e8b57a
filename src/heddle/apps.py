"""Tell Django about Heddle: check the settings at the start, load the workflows, keep partitions ready after `migrate`.

Nothing is decided here: settings are checked by `config`, partitions are made by `store.partitions`. What is wrong
stops the start with one sentence that names the setting. Before it: Django's setup. After it: every door and worker.
"""

import importlib
import os
from typing import Any

from django import apps, conf
from django.core import exceptions
from django.db import connections, transaction
from django.db.models import signals
from django.utils import module_loading

from heddle.config import settings
from heddle.store import partitions

WORKFLOWS_MODULE = "workflows"


class HeddleConfig(apps.AppConfig):
    """The app `heddle`."""

    name = "heddle"
    label = "heddle"
    verbose_name = "Heddle"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Check the settings and import the workflows. Raises ImproperlyConfigured with one sentence."""
        house = house_settings()
        signals.post_migrate.connect(_ensure_partitions, sender=self, dispatch_uid="heddle.partitions")
        module_loading.autodiscover_modules(WORKFLOWS_MODULE)
        for name in filter(None, (part.strip() for part in house.workflows.split(","))):
            _load(name)


def house_settings() -> settings.Settings:
    """Read Heddle's settings in a process that has Django. Raises ImproperlyConfigured naming the setting."""
    try:
        return settings.load(environ=os.environ, django=getattr(conf.settings, "HEDDLE", None))
    except settings.SettingRefused as error:
        raise exceptions.ImproperlyConfigured(str(error)) from error


def _load(name: str) -> None:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        # Only the module itself: what a workflow's own code fails to import is shown as it is.
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise exceptions.ImproperlyConfigured(
            f"HEDDLE_WORKFLOWS names the module {name!r}, which cannot be found; check its name, and that PYTHONPATH "
            "names its folder (PYTHONPATH=. where that is the one you are in)"
        ) from error


def _ensure_partitions(*, using: str, **_: Any) -> None:
    """Make the weekly partitions that are missing, in each migrated database that has our tables."""
    connection = connections[using]
    if connection.vendor != "postgresql":
        return
    with transaction.atomic(using=using), connection.cursor() as cursor:
        cursor.execute("select to_regclass('heddle_run') is not null")
        if cursor.fetchone() == (True,):
            partitions.ensure(cursor, weeks_ahead=house_settings().partition_weeks_ahead)
