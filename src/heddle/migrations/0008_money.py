"""Add reservations to the ledger, spend by day, caps of workflows and months, list prices and what providers report.

Locks: `heddle_ledger`, `heddle_tenant`, `heddle_endpoint`, `heddle_route` and `heddle_model` are locked against
everything for the moment their columns and checks are added (the catalogue only: no row is written, the new checks look
at new rows alone); then the ledger takes no entries while its index of uncounted entries is made, about a second for
every two million of them. The previous release's workers go on: they name the columns they write, and reserve nothing.
"""

import pathlib
from typing import ClassVar

from django.db import migrations
from django.db.migrations.operations import base

_FORWARD = (pathlib.Path(__file__).parent / "0008_money.sql").read_text()
_BACKWARD = """
drop table if exists heddle_workflow_cost, heddle_spend_reported, heddle_workflow, heddle_spend_day;
alter table heddle_model drop column if exists seconds, drop column if exists output_tokens;
alter table heddle_route drop column if exists price_nano_usd;
alter table heddle_endpoint drop column if exists spend_accounts, drop column if exists is_list_priced;
alter table heddle_tenant drop column if exists budget_nano_usd_per_month;
delete from heddle_ledger where kind in ('reserve', 'release', 'refund', 'adjustment');
alter table heddle_ledger drop column if exists is_counted, drop column if exists is_estimated,
  drop column if exists model, drop column if exists workflow, drop column if exists day,
  drop constraint if exists heddle_ledger_amount, drop constraint if exists heddle_ledger_kind,
  add constraint heddle_ledger_kind_check check (kind in ('reserve', 'charge', 'release')),
  add constraint heddle_ledger_amount_nano_usd_check check (amount_nano_usd >= 0);
"""


class Migration(migrations.Migration):
    """Create what money is accounted by."""

    dependencies: ClassVar[list[tuple[str, str]]] = [("heddle", "0007_reuse")]
    operations: ClassVar[list[base.Operation]] = [migrations.RunSQL(sql=_FORWARD, reverse_sql=_BACKWARD)]
