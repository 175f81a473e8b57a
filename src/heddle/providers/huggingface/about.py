"""Say what an endpoint of the ``huggingface`` adapter offers, for ``docs/providers.md``.

Values alone: nothing here is asked at run time. Before it: ``adapter`` and README.md beside this file. After it: the
registry's ``DECLARATIONS``.
"""

from typing import Final

from heddle.core import attempt
from heddle.ports import provider
from heddle.providers import transport

DECLARATION: Final = provider.Declaration(
    title="Hugging Face: dedicated endpoints, text generation inference, inference router",
    operations=("predict", "generate", "generate_stream"),
    idempotency=attempt.IdempotencyClass.C,
    guarantee=(
        "Calls are free unless `paid = true`: a lost answer is tried again, and of a paid one it is unknown and never "
        "sent again blindly."
    ),
    source="text-generation-inference router/src and the inference toolkit's error objects (read 2026-11-29)",
    limits="`estimated_time` of a model that is loading, `RateLimit`, `x-ratelimit-*`, `Retry-After`",
    inline_bytes_max=transport.BODY_BYTES_MAX,
    is_streamed=True,
)
