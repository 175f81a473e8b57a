"""Add quotas of tenants, the measured load of lanes, open runs and budgets by day.

Locks: `heddle_tenant` is locked against everything for the moment its two columns are added (the catalogue only: they
are nullable and no row is written); every table is new. The previous release's workers go on: they name the columns
they read and write, and know nothing of the new tables.
"""

import pathlib
from typing import ClassVar

from django.db import migrations
from django.db.migrations.operations import base

_FORWARD = (pathlib.Path(__file__).parent / "0006_admission.sql").read_text()
_BACKWARD = """
drop table if exists heddle_load, heddle_load_delta, heddle_open_run, heddle_budget_day, heddle_budget_call;
alter table heddle_tenant drop column if exists runs_per_min, drop column if exists open_runs_max;
"""


class Migration(migrations.Migration):
    """Create what admission decides by."""

    dependencies: ClassVar[list[tuple[str, str]]] = [("heddle", "0005_operations")]
    operations: ClassVar[list[base.Operation]] = [migrations.RunSQL(sql=_FORWARD, reverse_sql=_BACKWARD)]
