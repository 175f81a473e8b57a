"""Let a step's own row tell its first attempt, so that a local step that succeeds at once needs no other.

Locks: `heddle_step` and its partitions exclusively, for the time it takes to note two nullable columns (milliseconds,
whatever their size); the view of attempts, which only the admin reads. Workers of the release before go on: they leave
the columns empty and write attempt rows as they did.
"""

import pathlib
from typing import ClassVar

from django.db import migrations
from django.db.migrations.operations import base

_BACKWARD = """
drop view heddle_attempt_view;
alter table heddle_step drop column started_at, drop column worker_id;
create view heddle_attempt_view as
  select run_id::text || '.' || ordinal || '.' || number as id, run_id, ordinal, number, endpoint_id, state, handle,
    fault, cost_nano_usd, started_at, sent_at, finished_at
  from heddle_attempt;
"""


class Migration(migrations.Migration):
    """Add who ran a step and since when."""

    dependencies: ClassVar[list[tuple[str, str]]] = [("heddle", "0001_initial")]
    operations: ClassVar[list[base.Operation]] = [
        migrations.RunSQL(sql=pathlib.Path(__file__).with_suffix(".sql").read_text(), reverse_sql=_BACKWARD)
    ]
