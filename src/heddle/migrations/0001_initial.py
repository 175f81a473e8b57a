"""Create every table of the engine. Locks nothing that exists: all tables are new.

Parents of the partitioned tables are made here; partitions are made by ``heddle.store.partitions`` after every
``migrate``. The models are unmanaged mirrors (``heddle.models``), so the ORM may read what only our own statements
write.
"""

import pathlib
from typing import ClassVar

from django.db import migrations, models
from django.db.migrations.operations import base

_FORWARD = (pathlib.Path(__file__).parent / "0001_initial.sql").read_text()
_TABLES = [
    "tenant",
    "api_key",
    "run",
    "step",
    "attempt",
    "event",
    "ready",
    "lane_tenant",
    "worker",
    "lease",
    "slot",
    "endpoint",
    "route",
    "model",
    "limit_state",
    "limit_delta",
    "timer",
    "signal",
    "inbox",
    "idempotency",
    "ledger",
    "artifact",
    "leader",
]
_BACKWARD = "\n".join(
    ["drop view if exists heddle_step_view, heddle_attempt_view;"]
    + [f"drop table if exists heddle_{table} cascade;" for table in reversed(_TABLES)]
    + ["drop sequence if exists heddle_ready_seq, heddle_fence_seq;"]
)


class Migration(migrations.Migration):
    """Create the schema, and tell Django's state of its unmanaged mirrors."""

    initial = True
    dependencies: ClassVar[list[tuple[str, str]]] = []
    operations: ClassVar[list[base.Operation]] = [
        migrations.RunSQL(sql=_FORWARD, reverse_sql=_BACKWARD),
        migrations.CreateModel(
            name="Tenant",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.TextField(unique=True)),
                ("weight", models.IntegerField()),
                ("created_at", models.DateTimeField()),
            ],
            options={"db_table": "heddle_tenant", "managed": False},
        ),
        migrations.CreateModel(
            name="Run",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("workflow", models.TextField()),
                ("version", models.IntegerField()),
                ("priority", models.TextField()),
                ("state", models.TextField()),
                ("error", models.JSONField(null=True)),
                ("labels", models.JSONField()),
                ("cost_nano_usd", models.BigIntegerField()),
                ("created_at", models.DateTimeField()),
                ("started_at", models.DateTimeField(null=True)),
                ("finished_at", models.DateTimeField(null=True)),
            ],
            options={"db_table": "heddle_run", "ordering": ["-id"], "managed": False},
        ),
        migrations.CreateModel(
            name="Step",
            fields=[
                ("id", models.TextField(primary_key=True, serialize=False)),
                ("run_id", models.UUIDField()),
                ("ordinal", models.IntegerField()),
                ("kind", models.TextField()),
                ("name", models.TextField()),
                ("state", models.TextField()),
                ("note", models.TextField()),
                ("attempts", models.IntegerField()),
                ("cost_nano_usd", models.BigIntegerField()),
                ("fault", models.JSONField(null=True)),
                ("created_at", models.DateTimeField()),
                ("finished_at", models.DateTimeField(null=True)),
            ],
            options={"db_table": "heddle_step_view", "ordering": ["-run_id", "ordinal"], "managed": False},
        ),
        migrations.CreateModel(
            name="Attempt",
            fields=[
                ("id", models.TextField(primary_key=True, serialize=False)),
                ("run_id", models.UUIDField()),
                ("ordinal", models.IntegerField()),
                ("number", models.IntegerField()),
                ("endpoint_id", models.IntegerField(null=True)),
                ("state", models.TextField()),
                ("handle", models.TextField(null=True)),
                ("fault", models.JSONField(null=True)),
                ("cost_nano_usd", models.BigIntegerField(null=True)),
                ("started_at", models.DateTimeField()),
                ("sent_at", models.DateTimeField(null=True)),
                ("finished_at", models.DateTimeField(null=True)),
            ],
            options={"db_table": "heddle_attempt_view", "ordering": ["-run_id", "ordinal", "number"], "managed": False},
        ),
    ]
