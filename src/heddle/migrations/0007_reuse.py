"""Add where equal calls find the result of another.

Locks nothing that exists: the table is new. The previous release's workers go on: they know nothing of it, and serve
none of the lanes in which calls look for others' results.
"""

import pathlib
from typing import ClassVar

from django.db import migrations
from django.db.migrations.operations import base

_FORWARD = (pathlib.Path(__file__).parent / "0007_reuse.sql").read_text()
_BACKWARD = "drop table if exists heddle_result;"


class Migration(migrations.Migration):
    """Create the pointers to results."""

    dependencies: ClassVar[list[tuple[str, str]]] = [("heddle", "0006_admission")]
    operations: ClassVar[list[base.Operation]] = [migrations.RunSQL(sql=_FORWARD, reverse_sql=_BACKWARD)]
