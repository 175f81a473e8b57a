"""Count what became of requests for runs: admitted, or refused and by what. Nothing is decided here."""

from collections.abc import Sequence

from heddle.client import admission, backpressure, submitted
from heddle.ports import doors
from heddle.telemetry import recorder
from heddle.telemetry.catalog import metrics

REFUSALS = (admission.InvalidInput, doors.IdempotencyConflict, doors.IdempotencyBusy, backpressure.Refused)


def count(outcome: submitted.Submitted | Exception) -> None:
    """Count one request for a run as admitted or refused; a replay of an admitted one is neither."""
    match outcome:
        case submitted.Submitted():
            if not outcome.is_replay:
                recorder.count(metrics.RUNS_ADMITTED, workflow=outcome.run.workflow)
        case admission.UnknownWorkflow():
            recorder.count(metrics.RUNS_REFUSED, policy="workflow")
        case backpressure.Refused():
            recorder.count(metrics.RUNS_REFUSED, policy=outcome.policy)
        case admission.InvalidInput():
            recorder.count(metrics.RUNS_REFUSED, policy="input")
        case _:
            recorder.count(metrics.RUNS_REFUSED, policy="idempotency")


def counted(
    answers: Sequence[submitted.Submitted | Exception | None],
) -> list[submitted.Submitted | Exception]:
    """Count the outcomes of a batch, each of which is there, and give them."""
    told = [outcome for outcome in answers if outcome is not None]
    for outcome in told:
        count(outcome)
    return told
