"""Say what an HTTP status or a lost answer means, where an adapter's own table says nothing more precise.

One table of statuses for all adapters, and the one rule for what it leaves open: where money may have been spent and
the answer does not prove a refusal, the outcome is unknown; where repeating costs nothing, the same answer is a
passing failure. This module reads no prose and decides no retry. Before it in the walk: an adapter with an answer or a
loss in hand. After it: ``core.settle``.
"""

import datetime as dt
import math
import re
from collections.abc import Mapping
from email import utils as email_dates
from typing import Final

from heddle.core import faults, settle
from heddle.core.policy import told
from heddle.providers import transport

RETRY_AFTER_MAX_S: Final = 86_400.0
_MILLISECONDS: Final = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?\Z")

# RFC 9110 section 15, RFC 6585, RFC 8470. SENT_UNKNOWN marks the statuses that do not prove a refusal: gateways also
# send them after the request went through, and servers after the work was begun.
STATUS_FAULTS: Final[Mapping[int, faults.Fault]] = {
    301: faults.Fault.SENT_UNKNOWN,  # clients turn a POST's 301, 302 and 303 into a GET: it may mean "done, see there"
    302: faults.Fault.SENT_UNKNOWN,
    303: faults.Fault.SENT_UNKNOWN,
    307: faults.Fault.REJECTED_PERMANENT,  # "send it there instead": nothing was done here
    308: faults.Fault.REJECTED_PERMANENT,
    401: faults.Fault.REJECTED_TRANSIENT,  # our credential is to blame: the breaker opens, the fallback serves
    402: faults.Fault.REJECTED_TRANSIENT,  # our account there is empty: the same
    408: faults.Fault.SENT_UNKNOWN,  # meant as "your request was late"; gateways use it for "my backend was late"
    413: faults.Fault.TOO_LARGE,
    421: faults.Fault.REJECTED_TRANSIENT,
    425: faults.Fault.REJECTED_TRANSIENT,
    429: faults.Fault.THROTTLED,
    500: faults.Fault.SENT_UNKNOWN,
    501: faults.Fault.REJECTED_PERMANENT,
    502: faults.Fault.SENT_UNKNOWN,
    503: faults.Fault.SENT_UNKNOWN,
    504: faults.Fault.SENT_UNKNOWN,
    505: faults.Fault.REJECTED_PERMANENT,
}

# Statuses that judge the request by what it says, or by its key: sent again under its key it is judged as before. All
# others may come from a gateway, for a credential, a path or a host that has changed, before anybody saw the key.
OF_THE_REQUEST: Final = frozenset({400, 406, 409, 411, 413, 414, 415, 422})


def fault_of(status: int) -> faults.Fault:
    """Name the fault a status stands for.

    4xx that no row names refuse for good; anything else unnamed may have done its work.
    """
    named = STATUS_FAULTS.get(status)
    if named is not None:
        return named
    return faults.Fault.REJECTED_PERMANENT if 400 <= status < 500 else faults.Fault.SENT_UNKNOWN


def outcome_of(
    fault: faults.Fault,
    *,
    message: str,
    where: str,
    is_paid: bool,
    retry_after_s: float | None = None,
    heard: told.Told = told.NOTHING,
    is_of_this_send: bool = False,
) -> settle.Outcome:
    """Turn a classified answer into an outcome. ``is_of_this_send``: as in ``settle.Faulted``.

    What does not prove a refusal is ``Unknown`` for a paid call. A free call may be made again without harm, so there
    it is a passing failure, bounded by the attempts allowed.
    """
    if fault is faults.Fault.SENT_UNKNOWN:
        if is_paid:
            return settle.Unknown(message=message, told=heard)
        fault = faults.Fault.REJECTED_TRANSIENT
    return settle.Faulted(
        fault=faults.StepFault(fault=fault, message=message, where=where),
        retry_after_s=retry_after_s,
        told=heard,
        is_of_this_send=is_of_this_send,
    )


def outcome_of_loss(lost: transport.Lost, *, where: str, is_paid: bool) -> settle.Outcome:
    """Turn an exchange without a whole answer into an outcome."""
    if isinstance(lost, transport.NotSent):
        is_late = lost.cause is transport.Cause.NO_TIME
        fault = faults.Fault.DEADLINE if is_late else faults.Fault.NOT_SENT
        message = f"nothing was sent: {lost.message}"
        return outcome_of(fault, message=message, where=where, is_paid=is_paid, is_of_this_send=True)
    if lost.status is not None and not 200 <= lost.status < 300:
        message = f"answered {lost.status}, its body did not arrive whole: {lost.message}"
        return outcome_of(
            fault_of(lost.status),
            message=message,
            where=where,
            is_paid=is_paid,
            is_of_this_send=lost.status not in OF_THE_REQUEST,
        )
    if lost.cause is transport.Cause.TOO_LARGE:
        too_large = faults.StepFault(fault=faults.Fault.TOO_LARGE, message=lost.message, where=where)
        return settle.Faulted(fault=too_large, billed_nano_usd=None)  # delivered, so paid for, at a price nobody read
    if lost.status is not None and not is_paid:
        return outcome_of(faults.Fault.PARTIAL, message=lost.message, where=where, is_paid=False)
    return outcome_of(faults.Fault.SENT_UNKNOWN, message=lost.message, where=where, is_paid=is_paid)


def retry_after_s(headers: Mapping[str, str], *, now_s: float) -> float | None:
    """Read Retry-After (RFC 9110 section 10.2.3), seconds or a date; None when absent or unreadable.

    ``retry-after-ms``, which OpenAI and Azure send besides, is finer and counts first. Never below 0, at most a day.
    """
    milliseconds = headers.get("retry-after-ms", "").strip()
    if _MILLISECONDS.match(milliseconds):
        return min(float(milliseconds) / 1_000, RETRY_AFTER_MAX_S)
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = _seconds_until(text, now_s=now_s)
    if not math.isfinite(seconds):
        return None
    return min(max(0.0, seconds), RETRY_AFTER_MAX_S)


def _seconds_until(text: str, *, now_s: float) -> float:
    try:
        moment = email_dates.parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=dt.UTC)
        return moment.timestamp() - now_s
    except (ValueError, TypeError, OverflowError):
        return math.nan
