"""Settle calls as their operator says: those of unknown outcome, and what stopped ones left behind at a provider.

Each verdict and its row of ``heddle_audit`` are one transaction. Before it: ``client.operating``. After it: the books,
and whoever waits for the call.
"""

import json
import uuid
from typing import Any, Final

from heddle.core import faults
from heddle.ports import operators, store
from heddle.store import late, rows, unknowns

_LEFT_STATES: Final = {"done": "done", "failed": "rejected"}


class Verdicts(unknowns.Unknowns):
    """Do what operators decide about single calls, through one of Django's connections."""

    def _audit(self, *, actor: str, action: str, subject: str, before: Any, after: Any) -> None:
        self._rows(
            "audit_add",
            {
                "actor": actor,
                "action": action,
                "subject": subject,
                "before": json.dumps(before, default=str),
                "after": json.dumps(after, default=str),
            },
        )

    def settle_unknown(
        self, *, run_id: uuid.UUID, ordinal: int, verdict: str, output: Any, cost_nano_usd: int | None, actor: str
    ) -> None:
        """Settle a step of unknown outcome as its operator says."""
        with self._atomic():
            self._rows("lock_runs", {"run_ids": [run_id]})
            state = "unknown"
            if not self._settled(run_id, ordinal, verdict, output, cost_nano_usd):
                state = "cancelled"
                if not self._closed(run_id, ordinal, verdict, cost_nano_usd):
                    raise operators.ChangeRefused(
                        f"step {ordinal} of run {run_id} is not of unknown outcome, or a worker is asking about it "
                        "just now"
                    )
            after = {"verdict": verdict, "output": output, "cost_nano_usd": cost_nano_usd}
            subject = f"step {run_id}.{ordinal}"
            self._audit(actor=actor, action="settle", subject=subject, before={"state": state}, after=after)
            self._ring()

    def _settled(self, run_id: uuid.UUID, ordinal: int, verdict: str, output: Any, cost_nano_usd: int | None) -> bool:
        """Settle a step that is unknown; False when it is not."""
        found = self._rows("lease_unknown", {"run_id": run_id, "ordinal": ordinal})
        if not found:
            return False
        fence, number = found[0]
        self._rows("untime_step", {"run_id": run_id, "ordinal": ordinal})
        by_hand = _by_hand(verdict, output, cost_nano_usd)
        settled = store.Settlement(
            run_id=run_id, ordinal=ordinal, fence=fence, number=number, is_local=False, **by_hand
        )
        if late.is_news(settled):
            late.hear_at_door(self._rows, settled)
        if self._rows("settle", rows.settlements([settled]) | rows.direct(None))[0][0] != 1:
            raise operators.ChangeRefused(f"step {ordinal} of run {run_id} was not settled; look at it again")
        return True

    def _closed(self, run_id: uuid.UUID, ordinal: int, verdict: str, cost_nano_usd: int | None) -> bool:
        """Close what a stopped call left behind: nothing waits for it but its reservation; False when there is none."""
        found = self._rows("lease_left", {"run_id": run_id, "ordinal": ordinal})
        if not found:
            return False
        if verdict not in _LEFT_STATES:
            raise operators.ChangeRefused(
                f"step {ordinal} of run {run_id} was stopped with its run and is not made again; say done or failed"
            )
        closing = {"runs": [run_id], "ordinals": [ordinal], "fences": [found[0][0]]}
        self._rows("close_attempt", {**closing, "states": [_LEFT_STATES[verdict]], "costs": [cost_nano_usd]})
        return True


def _by_hand(verdict: str, output: Any, cost_nano_usd: int | None) -> dict[str, Any]:
    """Give the parts of a settlement that an operator's word decides."""
    match verdict:
        case "done":
            return {
                "verdict": "complete",
                "attempt_state": "done",
                "output": rows.dump(output),
                "cost_nano_usd": cost_nano_usd,
                "is_billed": True,
            }
        case "failed":
            fault = faults.StepFault(
                fault=faults.Fault.REJECTED_PERMANENT, message="an operator settled its unknown outcome as failed"
            )
            return {
                "verdict": "fail",
                "attempt_state": "rejected",
                "fault": rows.dump(fault.as_json()),
                "cost_nano_usd": cost_nano_usd,
            }
        case "retry":
            # What was sent is not abandoned: should it be heard of after all, settle_late knows it by this fault.
            fault = faults.StepFault(
                fault=faults.Fault.SENT_UNKNOWN, message="an operator had it made again: its outcome is not known"
            )
            return {
                "verdict": "retry",
                "attempt_state": "rejected",
                "fault": rows.dump(fault.as_json()),
                "delay_s": 0.0,
                "cost_nano_usd": cost_nano_usd,
            }
        case _:
            raise AssertionError(f"the verdict {verdict!r} is none of done, failed, retry")
