"""Add what operators need: pauses, limit overrides, bulk operations, the audit trail, the database's lineage.

Locks heddle_endpoint, heddle_model and heddle_tenant exclusively, each for the time of adding a nullable column
without a default: milliseconds, whatever their size, as no row is rewritten. Claims read the three, so the statements
wait for running claims; ``lock_timeout`` (``heddle migrate`` sets it) bounds how long others wait behind them.
Everything else is new. Workers of the release before go on: they read none of it, so what is paused here is paused
for new workers only.
"""

import pathlib
from typing import ClassVar

from django.db import migrations
from django.db.migrations.operations import base

_FORWARD = (pathlib.Path(__file__).parent / "0005_operations.sql").read_text()
_BACKWARD = """
drop table heddle_lineage, heddle_operation, heddle_audit, heddle_limit_override;
drop function heddle_audit_refuse();
alter table heddle_tenant drop column paused_at;
alter table heddle_model drop column paused_at;
alter table heddle_endpoint drop column paused_at;
"""


class Migration(migrations.Migration):
    """Add the operators' tables and columns."""

    dependencies: ClassVar[list[tuple[str, str]]] = [("heddle", "0004_schedules")]
    operations: ClassVar[list[base.Operation]] = [migrations.RunSQL(sql=_FORWARD, reverse_sql=_BACKWARD)]
