"""Add which run is the newest of each chain, so that the id of the first leads there after the first has gone.

Locks: nothing that exists; the table is new and empty, and made in a moment. The previous release's workers go on and
do not write there: a chain that only they took further is followed link by link from what is known, as it was, and is
noted when a worker of this release takes it further.
"""

import pathlib
from typing import ClassVar

from django.db import migrations
from django.db.migrations.operations import base

_FORWARD = (pathlib.Path(__file__).parent / "0014_chains.sql").read_text()
_BACKWARD = "drop table if exists heddle_chain;"


class Migration(migrations.Migration):
    """Create what chains are found by."""

    dependencies: ClassVar[list[tuple[str, str]]] = [("heddle", "0013_call_prices")]
    operations: ClassVar[list[base.Operation]] = [migrations.RunSQL(sql=_FORWARD, reverse_sql=_BACKWARD)]
