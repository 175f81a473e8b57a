"""Say what Vertex AI offers, for ``docs/providers.md``.

Values alone: nothing here is asked at run time. Before it: ``adapter`` and README.md beside this file. After it: the
registry's ``DECLARATIONS``.
"""

from typing import Final

from heddle.core import attempt
from heddle.ports import provider
from heddle.providers.vertex import wire

DECLARATION: Final = provider.Declaration(
    title="Google Vertex AI",
    operations=("`:predict`", "`:predictLongRunning`"),
    idempotency=attempt.IdempotencyClass.C,
    guarantee=(
        "Vertex AI has neither a key to repeat a request under nor a look-up: a request whose answer is lost stays "
        "unknown until the model's owner decides; a started operation is asked after and never started again."
    ),
    source="https://cloud.google.com/vertex-ai/docs/reference/rest; google-auth 2.63.0 (read 2026-11-29)",
    cancel="`POST {operation}:cancel`, as well as Google can",
    deadline="`X-Server-Timeout`",
    limits="429 `RESOURCE_EXHAUSTED`, `Retry-After`",
    inline_bytes_max=wire.REQUEST_BYTES_MAX,
)
