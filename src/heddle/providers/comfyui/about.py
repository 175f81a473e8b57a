"""Say what an endpoint of the ``comfyui`` adapter offers, for ``docs/providers.md``.

Values alone: nothing here is asked at run time. Before it: ``adapter`` and README.md beside this file. After it: the
registry's ``DECLARATIONS``.
"""

from typing import Final

from heddle.core import attempt
from heddle.ports import provider

DECLARATION: Final = provider.Declaration(
    title="ComfyUI",
    operations=("graph",),
    idempotency=attempt.IdempotencyClass.B,
    guarantee=(
        "The job's id is made of the attempt's: a lost submission is looked up in queue and history before anything is "
        "sent again, and a job that a restart of the server forgot is submitted anew; with `paid = true` it "
        "stays unknown unless a restart can be ruled out."
    ),
    source="Comfy-Org/ComfyUI server.py, execution.py, comfy_execution/jobs.py (read 2026-11-29)",
    cancel="`POST /api/jobs/{id}/cancel`, on older servers `/queue` with `delete` or `/interrupt`",
    priority="`front` for interactive runs",
    queue_position="place in `/queue`",
)
