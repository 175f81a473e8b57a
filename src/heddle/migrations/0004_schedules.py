"""Let runs go on as others, hold children to the cap above them, and keep schedules.

Locks ``heddle_run`` and its partitions exclusively for the moment it takes to add nullable columns without a default
(milliseconds, whatever their size, once running transactions on them have ended); the table of schedules is new. The
previous release's workers and doors go on: their statements name their columns and leave the new ones null.
"""

import pathlib
from typing import ClassVar

from django.db import migrations
from django.db.migrations.operations import base

_FORWARD = (pathlib.Path(__file__).parent / "0004_schedules.sql").read_text()
_BACKWARD = """
drop table if exists heddle_schedule;
alter table heddle_run
  drop column if exists continued_from,
  drop column if exists continued_as,
  drop column if exists chain_first,
  drop column if exists chain_last,
  drop column if exists chain_number,
  drop column if exists cap_run;
"""


class Migration(migrations.Migration):
    """Add what only our own statements read; Django's state does not change."""

    dependencies: ClassVar[list[tuple[str, str]]] = [("heddle", "0003_limits")]
    operations: ClassVar[list[base.Operation]] = [migrations.RunSQL(sql=_FORWARD, reverse_sql=_BACKWARD)]
