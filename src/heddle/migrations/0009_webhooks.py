"""Add the outbox of customers' webhooks, what is known of their receivers, and which signing secrets there are.

Locks: nothing that exists; every table is new and its indexes are built on no rows, in a moment. The previous
release's workers go on and write no events: runs that they end are not told of, so workers are upgraded before doors.
"""

import pathlib
from typing import ClassVar

from django.db import migrations
from django.db.migrations.operations import base

_FORWARD = (pathlib.Path(__file__).parent / "0009_webhooks.sql").read_text()
_BACKWARD = """
drop table if exists heddle_outbox, heddle_receiver, heddle_webhook_disabled, heddle_webhook_secret;
"""


class Migration(migrations.Migration):
    """Create what webhooks are delivered from."""

    dependencies: ClassVar[list[tuple[str, str]]] = [("heddle", "0008_money")]
    operations: ClassVar[list[base.Operation]] = [migrations.RunSQL(sql=_FORWARD, reverse_sql=_BACKWARD)]
