"""Hold the ``http`` adapter's table of faults: (status, code) → fault, widened by the endpoint's own ``faults`` option.

The code is what the endpoint's JSON says at ``error_code``. Nothing is read from prose, and a status that neither
table names falls to the table of statuses. Before it in the walk: the adapter with a whole answer that is no success.
After it: settle.
"""

from collections.abc import Mapping
from typing import Final

from heddle.core import faults
from heddle.providers import options, statuses

Table = Mapping[tuple[int, str], faults.Fault]

# A generic endpoint has no codes of its own; the endpoint's option adds them.
FAULTS: Final[Table] = {}

# With a key, a conflict says that the first send under it is still at work (draft-ietf-httpapi-idempotency-key-header,
# section 2.7): what comes of it is not known yet, and taking it for a refusal would lose what is being paid for.
KEYED_FAULTS: Final[Table] = {(409, ""): faults.Fault.SENT_UNKNOWN}

# What a table of an endpoint may say; the other faults are ours to find.
CONFIGURABLE: Final = frozenset(
    {
        faults.Fault.THROTTLED,
        faults.Fault.REJECTED_TRANSIENT,
        faults.Fault.REJECTED_PERMANENT,
        faults.Fault.SENT_UNKNOWN,
        faults.Fault.TOO_LARGE,
    }
)


def read(source: options.Options, key: str, *, is_keyed: bool) -> Table:
    """Read the option ``faults``: ``"503" = "throttled"``, ``"400:queue_full" = "rejected_transient"``.

    is_keyed: requests carry an idempotency key. Raises OptionRefused.
    """
    table: dict[tuple[int, str], faults.Fault] = {**FAULTS, **(KEYED_FAULTS if is_keyed else {})}
    for name, value in source.table(key).items():
        status, _, code = str(name).partition(":")
        if not status.isascii() or not status.isdigit() or not 300 <= int(status) <= 599:
            raise source.refusal(f"{key}.{name}", 'is no status; write "503" or "503:code", a status from 300 to 599')
        if value not in CONFIGURABLE:
            allowed = ", ".join(sorted(CONFIGURABLE))
            raise source.refusal(f"{key}.{name}", f"is {value!r}; it must be one of {allowed}")
        table[int(status), code] = faults.Fault(value)
    return table


def fault_of(status: int, code: str, *, table: Table) -> faults.Fault:
    """Name the fault: by status and code, else by status, else by the table of statuses."""
    return table.get((status, code)) or table.get((status, "")) or statuses.fault_of(status)
