"""Add what routes are weighed by: regions, objectives, scorecards, canaries.

Locks: `heddle_tenant`, `heddle_endpoint`, `heddle_route`, `heddle_model` and `heddle_attempt` with its partitions are
each locked against everything for the moment their columns are added (the catalogue only: defaults are constants and no
row is written); every table is new. The previous release's workers go on: they name the columns they read and write.
They also read none of the new ones, so regions and canaries hold from the moment the last of them is gone.
"""

import pathlib
from typing import ClassVar

from django.db import migrations
from django.db.migrations.operations import base

_FORWARD = (pathlib.Path(__file__).parent / "0010_routing.sql").read_text()
_BACKWARD = """
drop table if exists heddle_score, heddle_score_delta, heddle_canary;
alter table heddle_attempt drop column if exists called_back_at;
alter table heddle_model drop column if exists objective, drop column if exists deadline_s,
  drop column if exists quality;
alter table heddle_route drop column if exists rules, drop column if exists weight_now, drop column if exists is_canary,
  drop column if exists latency_max_s;
alter table heddle_endpoint drop column if exists regions;
alter table heddle_tenant drop column if exists regions, drop column if exists rule;
"""


class Migration(migrations.Migration):
    """Create what routing decides by."""

    dependencies: ClassVar[list[tuple[str, str]]] = [("heddle", "0009_webhooks")]
    operations: ClassVar[list[base.Operation]] = [migrations.RunSQL(sql=_FORWARD, reverse_sql=_BACKWARD)]
