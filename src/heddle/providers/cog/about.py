"""Say what a Cog container offers, for ``docs/providers.md``.

Values alone: nothing here is asked at run time. Before it: ``adapter`` and README.md beside this file. After it: the
registry's ``DECLARATIONS``.
"""

from typing import Final

from heddle.core import attempt
from heddle.ports import provider
from heddle.providers import transport

DECLARATION: Final = provider.Declaration(
    title="Cog containers",
    operations=("predictions", "predictions as a stream"),
    idempotency=attempt.IdempotencyClass.A,
    guarantee=(
        "The prediction's id is our key: sent again, it attaches to the running prediction and starts no other. The "
        "container forgets an id when its prediction ends; sent again after that, it runs once more."
    ),
    source="replicate/cog docs/http.md; coglet 0.21 (read 2026-11-29)",
    cancel='`POST /predictions/{id}/cancel`; with `mode = "wait"` by closing the connection',
    limits="409 when all slots are busy",
    inline_bytes_max=transport.BODY_BYTES_MAX,
    is_streamed=True,
)
