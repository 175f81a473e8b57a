"""Add to each route what its price list asks for an image and for tokens, so that a call reserves what it says it uses.

Locks: the table of routes, which has a row for each route of the configuration, for a moment: the columns have no
default and nothing is rewritten. The previous release's workers go on: a call of theirs reserves the route's price.
"""

import pathlib
from typing import ClassVar

from django.db import migrations
from django.db.migrations.operations import base

_FORWARD = (pathlib.Path(__file__).parent / "0013_call_prices.sql").read_text()
_BACKWARD = (
    "alter table heddle_route drop column if exists image_nano_usd, drop column if exists input_nano_usd_per_mtok, "
    "drop column if exists output_nano_usd_per_mtok;"
)


class Migration(migrations.Migration):
    """Tell the rates of a route's price."""

    dependencies: ClassVar[list[tuple[str, str]]] = [("heddle", "0012_strays")]
    operations: ClassVar[list[base.Operation]] = [migrations.RunSQL(sql=_FORWARD, reverse_sql=_BACKWARD)]
