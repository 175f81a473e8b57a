"""Show an accepted run without reading it back.

The door answers from the request and the id alone: one round trip less, and a replay whose first answer was lost says
the same again. Nothing is decided here. Before it: the store's ``submit``. After: the door's answer.
"""

import dataclasses
import datetime
import uuid
from collections.abc import Callable

from heddle.core import ids, run
from heddle.ports import records


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """Show an accepted run as it was admitted. ``answer`` is there on a replay whose first answer is stored."""

    run: records.RunView
    is_replay: bool
    answer: records.StoredAnswer | None = None


def with_answer(
    new: records.NewRun, answer: Callable[[records.RunView], records.StoredAnswer] | None
) -> records.NewRun:
    """Let a run with a key be written together with its first answer: all that is in it is known before."""
    if answer is None or new.idempotency_key is None:
        return new

    def answer_for(run_id: uuid.UUID) -> records.StoredAnswer:
        return answer(show(new, records.Submission(run_id=run_id, is_replay=False)).run)

    return dataclasses.replace(new, answer_for=answer_for)


def show(new: records.NewRun, submission: records.Submission) -> Submitted:
    """Show a run as it was at admission, from the request and the id alone: no read, and the same on every replay."""
    created_at = datetime.datetime.fromtimestamp(ids.unix_ms(submission.run_id) / 1000, datetime.UTC)
    deadline_at = None if new.deadline_s is None else created_at + datetime.timedelta(seconds=new.deadline_s)
    view = records.RunView(
        id=submission.run_id,
        tenant=new.tenant.name,
        workflow=new.workflow,
        version=new.version,
        priority=new.priority,
        state=run.RunState.QUEUED,
        shown_state=run.RunState.QUEUED.value,
        input=None,
        output=None,
        error=None,
        is_degraded=False,
        cost_nano_usd=0,
        steps=records.StepCounts(),
        labels=new.labels,
        created_at=created_at,
        started_at=None,
        finished_at=None,
        deadline_at=deadline_at,
        cancel_requested_at=None,
        traceparent=new.traceparent,
    )
    return Submitted(run=view, is_replay=submission.is_replay, answer=submission.answer)
