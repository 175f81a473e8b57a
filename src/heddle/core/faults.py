"""The fixed vocabulary of failure, and what each failure means for retrying, the breaker, the bill and the caller.

Adapters and the engine turn every failure of the outside into one of these by a table (status, code), never by
searching prose. What no table names is ``unclassified`` and is logged whole. Before this in the walk: execute and
poll. After: ``core.settle``, which turns a fault into a verdict.
"""

import dataclasses
import enum


class Fault(enum.StrEnum):
    """Name one classified failure."""

    NOT_SENT = "not_sent"
    THROTTLED = "throttled"
    REJECTED_TRANSIENT = "rejected_transient"
    REJECTED_PERMANENT = "rejected_permanent"
    SENT_UNKNOWN = "sent_unknown"
    PARTIAL = "partial"
    BAD_OUTPUT = "bad_output"
    TOO_LARGE = "too_large"
    DEADLINE = "deadline"
    CANCELLED = "cancelled"
    BUDGET = "budget"
    WORKFLOW_CHANGED = "workflow_changed"
    WORKFLOW_MISUSE = "workflow_misuse"
    WORKFLOW_BLOCKED = "workflow_blocked"
    CODE_RAISED = "code_raised"
    CODE_CRASHED = "code_crashed"
    UNCLASSIFIED = "unclassified"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FaultLaw:
    """State what one fault implies.

    ``is_retryable``: another attempt may be made without asking anybody. ``counts_for_breaker``: the endpoint, not
    the request, is to blame. ``may_be_billed``: the provider may have charged for the attempt. ``http_status``:
    what a caller who waits for the run is told (RFC 9110).
    """

    is_retryable: bool
    counts_for_breaker: bool
    may_be_billed: bool
    http_status: int
    meaning: str


def _law(*, retryable: bool, breaker: bool, billed: bool, status: int, meaning: str) -> FaultLaw:
    return FaultLaw(
        is_retryable=retryable, counts_for_breaker=breaker, may_be_billed=billed, http_status=status, meaning=meaning
    )


FAULTS: dict[Fault, FaultLaw] = {
    Fault.NOT_SENT: _law(
        retryable=True, breaker=True, billed=False, status=502, meaning="no byte of the request left this machine"
    ),
    Fault.THROTTLED: _law(
        retryable=True, breaker=False, billed=False, status=429, meaning="the endpoint asked to come back later"
    ),
    Fault.REJECTED_TRANSIENT: _law(
        retryable=True, breaker=True, billed=False, status=502, meaning="the endpoint refused, and may accept later"
    ),
    Fault.REJECTED_PERMANENT: _law(
        retryable=False, breaker=False, billed=False, status=422, meaning="the endpoint refuses this request for good"
    ),
    Fault.SENT_UNKNOWN: _law(
        retryable=False, breaker=True, billed=True, status=504, meaning="sent, and whether it was accepted is not known"
    ),
    Fault.PARTIAL: _law(
        retryable=True, breaker=True, billed=True, status=502, meaning="an answer began and did not end"
    ),
    Fault.BAD_OUTPUT: _law(
        retryable=False, breaker=False, billed=True, status=502, meaning="the result is not of the declared type"
    ),
    Fault.TOO_LARGE: _law(
        retryable=False, breaker=False, billed=True, status=413, meaning="a value is over the size allowed inline"
    ),
    Fault.DEADLINE: _law(
        retryable=False, breaker=False, billed=True, status=504, meaning="the time allowed for it is over"
    ),
    Fault.CANCELLED: _law(
        retryable=False, breaker=False, billed=True, status=409, meaning="somebody asked for it to stop"
    ),
    Fault.BUDGET: _law(
        retryable=False, breaker=False, billed=False, status=402, meaning="the money allowed for it is spent"
    ),
    Fault.WORKFLOW_CHANGED: _law(
        retryable=False, breaker=False, billed=False, status=500, meaning="the code no longer makes the journalled call"
    ),
    Fault.WORKFLOW_MISUSE: _law(
        retryable=False, breaker=False, billed=False, status=500, meaning="the workflow did what a workflow may not do"
    ),
    Fault.WORKFLOW_BLOCKED: _law(
        retryable=False, breaker=False, billed=False, status=500, meaning="one activation ran for too long"
    ),
    Fault.CODE_RAISED: _law(
        retryable=True, breaker=False, billed=False, status=500, meaning="the step's own code raised"
    ),
    Fault.CODE_CRASHED: _law(
        retryable=True, breaker=False, billed=False, status=500, meaning="the process that ran the step died"
    ),
    Fault.UNCLASSIFIED: _law(
        retryable=False, breaker=True, billed=True, status=500, meaning="no table names this failure"
    ),
}


QUALITY = "quality"
"""The code of a ``bad_output`` that arrived whole and that a gate of its model refused: another try may do better."""
INPUT_UNREAD = "input_unread"
"""The code of a ``not_sent`` whose input our own storage could not give: the endpoint was never asked."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StepFault:
    """Hold one failure as it is journalled: what, in words, and where.

    ``message`` says what happened, to which thing, and what to do; ``where`` names the place in the author's code
    or the endpoint. ``code`` tells kinds of one fault apart, empty for none: see ``QUALITY`` and
    ``INPUT_UNREAD``.
    """

    fault: Fault
    message: str
    where: str = ""
    code: str = ""

    @property
    def counts_for_breaker(self) -> bool:
        """Tell whether the endpoint is to blame: by the row of the fault, unless its code says that we are."""
        return FAULTS[self.fault].counts_for_breaker and self.code != INPUT_UNREAD

    def as_json(self) -> dict[str, str]:
        """Give the form that is stored and shown."""
        told = {"fault": self.fault.value, "message": self.message, "where": self.where}
        return {**told, "code": self.code} if self.code else told

    @classmethod
    def from_json(cls, value: dict[str, str]) -> "StepFault":
        """Read back what ``as_json`` gave."""
        return cls(
            fault=Fault(value["fault"]),
            message=value["message"],
            where=value.get("where", ""),
            code=value.get("code", ""),
        )
