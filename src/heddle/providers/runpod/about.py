"""Say what a RunPod serverless endpoint offers, for ``docs/providers.md``.

Values alone: nothing here is asked at run time. Before it: ``adapter`` and README.md beside this file. After it: the
registry's ``DECLARATIONS``.
"""

from typing import Final

from heddle.core import attempt
from heddle.ports import provider
from heddle.providers.runpod import wire

DECLARATION: Final = provider.Declaration(
    title="RunPod serverless",
    operations=("`/run` jobs of a queue-based endpoint",),
    idempotency=attempt.IdempotencyClass.C,
    guarantee=(
        "RunPod has no key to repeat a submission under: one whose answer is lost stays unknown until the model's "
        "owner decides, or its callback names the job where `callback_names_job` is set; an accepted job is never "
        "submitted again, and one that RunPod has forgotten is unknown, never taken for not started."
    ),
    source="https://docs.runpod.io/serverless/endpoints; runpod/runpod-python (read 2026-11-29)",
    callback="unsigned: the address holds an unguessable token, and only the next look is believed",
    is_named_by_callback=True,
    cancel="`POST /cancel/{id}`",
    deadline="`policy.executionTimeout` and `policy.ttl`",
    priority="`policy.lowPriority` for batch",
    limits="`Retry-After` with 429",
    result_ttl_s=wire.RESULT_KEPT_S,
    inline_bytes_max=wire.RUN_BYTES_MAX,
)
