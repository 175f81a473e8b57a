"""Add what limits by tokens and images, the provider's own word, slow start, retry budgets and tiers need.

Locks ``limit_state``, ``limit_delta``, ``slot``, ``model`` and ``attempt`` (with its partitions) exclusively for the
time of changing the catalogue, some milliseconds: every column is nullable or has a constant default, so no row is read
or written. Only adds: statements of the release before name none of these columns, and what they write means the same.
"""

import pathlib
from typing import ClassVar

from django.db import migrations
from django.db.migrations.operations import base

_FORWARD = (pathlib.Path(__file__).parent / "0003_limits.sql").read_text()
_ADDED = {
    "limit_state": "concurrency_min concurrency_max tokens_per_min tokens_burst tokens_tat images_per_min images_burst "
    "images_tat requests_told requests_told_until tokens_told tokens_told_until images_told images_told_until "
    "frozen_until closed_at ramp_slots first_tries retries retries_upto governed_at finished finished_s throttled "
    "tokens_used tokens_calls",
    "limit_delta": "silent throttled finished finished_s tokens tokens_used tokens_calls images frozen_until dimension "
    "limit_per_min remaining told_until empty_until",
    "slot": "epochs tokens images",
    "model": "tokens images",
    "attempt": "tier primary_price_nano_usd",
}
_BACKWARD = ";\n".join(
    f"alter table heddle_{table} " + ", ".join(f"drop column if exists {column}" for column in columns.split())
    for table, columns in _ADDED.items()
)


class Migration(migrations.Migration):
    """Widen the tables of limits, and remember the tier of an attempt."""

    dependencies: ClassVar[list[tuple[str, str]]] = [("heddle", "0002_speed")]
    operations: ClassVar[list[base.Operation]] = [migrations.RunSQL(sql=_FORWARD, reverse_sql=_BACKWARD)]
