"""Add what callbacks to a provider's one address told of that no call in flight has, so that one that came late counts.

Locks: nothing that exists; the table is new and its index is built on no rows, in a moment. The previous release's
workers go on and do not look there: to them a callback that came after its call's end is missed, as it was.
"""

import pathlib
from typing import ClassVar

from django.db import migrations
from django.db.migrations.operations import base

_FORWARD = (pathlib.Path(__file__).parent / "0012_strays.sql").read_text()
_BACKWARD = "drop table if exists heddle_stray;"


class Migration(migrations.Migration):
    """Create what strays are kept in."""

    dependencies: ClassVar[list[tuple[str, str]]] = [("heddle", "0011_reuse_time")]
    operations: ClassVar[list[base.Operation]] = [migrations.RunSQL(sql=_FORWARD, reverse_sql=_BACKWARD)]
