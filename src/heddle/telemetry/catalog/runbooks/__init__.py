"""Gather the runbooks: for each alert, what the user feels, how to see it, how to stop it, how to mend it.

They are data, one module for each kind of trouble. Commands are written once, in ``commands``. Before it: ``alerts``.
After: the documentation that ``generate`` writes, and whoever is on call.
"""

from typing import Final

from heddle.telemetry.catalog.records import Runbook
from heddle.telemetry.catalog.runbooks import machines, money, promises, webhooks, work

ALL: Final[tuple[Runbook, ...]] = (*machines.ALL, *work.ALL, *money.ALL, *webhooks.ALL, *promises.ALL)
"""Every runbook."""
