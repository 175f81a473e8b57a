"""Add how long a shared result is kept, so that its time begins when the call has ended.

Locks: `heddle_result` against everything for the moment its column is added (the catalogue only: the column is empty
and no row is written). The previous release's workers go on: they name the columns they write, and what they note goes
by `until`, as it did.
"""

import pathlib
from typing import ClassVar

from django.db import migrations
from django.db.migrations.operations import base

_FORWARD = (pathlib.Path(__file__).parent / "0011_reuse_time.sql").read_text()
_BACKWARD = "alter table heddle_result drop column if exists hours;"


class Migration(migrations.Migration):
    """Let the time of a result begin with the result."""

    dependencies: ClassVar[list[tuple[str, str]]] = [("heddle", "0010_routing")]
    operations: ClassVar[list[base.Operation]] = [migrations.RunSQL(sql=_FORWARD, reverse_sql=_BACKWARD)]
