"""Collect what idempotency keys are claimed with, and tell what became of a request by who has its key.

Used by both ways in: ``admitting`` on Django's connection and ``calling`` on the worker's. Nothing is decided here.
"""

import uuid
from collections.abc import Sequence
from typing import Any

from heddle.ports import doors, records


class Keys:
    """Collect the parameters of idempotency_take and idempotency_read."""

    def __init__(self) -> None:
        names = ("key_tenants", "key_operations", "key_names", "fingerprints", "key_runs", "statuses", "bodies")
        self.values: dict[str, list[Any]] = {name: [] for name in (*names, "locations")}

    @property
    def is_any(self) -> bool:
        """Tell whether a request has a key."""
        return bool(self.values["key_names"])

    def add(self, new: records.NewRun, run_id: uuid.UUID) -> None:
        """Add the key of one request, with the first answer it is given."""
        answer = None if new.answer_for is None else new.answer_for(run_id)
        for name, value in {
            "key_tenants": new.tenant.id,
            "key_operations": new.operation,
            "key_names": new.idempotency_key,
            "fingerprints": new.fingerprint,
            "key_runs": run_id,
            "statuses": None if answer is None else answer.status,
            "bodies": None if answer is None else answer.body,
            "locations": None if answer is None else answer.location,
        }.items():
            self.values[name].append(value)


def outcome(new: records.NewRun, run_id: uuid.UUID, holder: Sequence[Any] | None) -> records.Submission | Exception:
    """Tell what became of one request, by who has its key: fingerprint, run, status, body, location."""
    if new.idempotency_key is None:
        return records.Submission(run_id=run_id, is_replay=False)
    if holder is None:
        return doors.IdempotencyBusy("the first request under this key was withdrawn; send it again")
    fingerprint, first_id, status, body, location = holder
    if first_id == run_id:
        return records.Submission(run_id=run_id, is_replay=False)
    if fingerprint != new.fingerprint:
        return doors.IdempotencyConflict("this Idempotency-Key was used with another request")
    answer = None if status is None else records.StoredAnswer(status=status, body=body, location=location)
    return records.Submission(run_id=first_id, is_replay=True, answer=answer)
