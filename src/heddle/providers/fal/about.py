"""Say what fal's queue offers, for ``docs/providers.md``.

Values alone: nothing here is asked at run time. Before it: ``adapter`` and README.md beside this file. After it: the
registry's ``DECLARATIONS``.
"""

from typing import Final

from heddle.core import attempt
from heddle.ports import provider
from heddle.providers.fal import adapter

DECLARATION: Final = provider.Declaration(
    title="fal.ai queue",
    operations=("any model of the queue",),
    idempotency=attempt.IdempotencyClass.C,
    guarantee=(
        "fal has no key to repeat a submission under: one whose answer is lost stays unknown until fal's signed "
        "callback names its job or the model's owner decides; an accepted job is never submitted again."
    ),
    source="fal_client 1.0.3; https://fal.ai/docs/documentation/model-apis (read 2026-11-29)",
    callback="Ed25519 under fal's published keys (JWKS), 300 s tolerance",
    is_named_by_callback=True,
    cancel="`PUT cancel_url`",
    deadline="`X-Fal-Request-Timeout`: until the work starts",
    priority="`X-Fal-Queue-Priority`: low for batch, else normal",
    queue_position="`queue_position`",
    limits="`Retry-After` with 429",
    inline_bytes_max=adapter.INLINE_BYTES_MAX,
)
