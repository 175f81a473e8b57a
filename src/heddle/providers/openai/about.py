"""Say what an endpoint of the ``openai`` adapter offers, for ``docs/providers.md``.

Values alone: nothing here is asked at run time. Before it: ``operations`` and README.md beside this file. After it: the
registry's ``DECLARATIONS``.
"""

from typing import Final

from heddle.core import attempt
from heddle.ports import provider
from heddle.providers.openai import operations, wire

DECLARATION: Final = provider.Declaration(
    title="OpenAI, and servers that speak like it (vLLM, SGLang, gateways)",
    operations=tuple(operations.Operation),
    idempotency=attempt.IdempotencyClass.C,
    guarantee=(
        "The API takes no idempotency key. After a crash in the middle of a paid call the outcome is unknown and "
        "nothing is sent again; a `batch` is of class B, looked up by the attempt's id in its metadata."
    ),
    source=(
        "the package openai 3.57.0 and developers.openai.com/api/docs, guides webhooks, batch, error-codes "
        "(read 2026-11-29)"
    ),
    callback="Standard Webhooks, HMAC-SHA256, to one address for the account: `batch.*`, `response.*`, `video.*`",
    cancel="`POST /batches/{id}/cancel`, `POST /responses/{id}/cancel` (background)",
    priority="`service_tier`, by option `service_tiers`",
    limits="`x-ratelimit-*` for requests and tokens, `Retry-After`, `retry-after-ms`",
    result_ttl_s=3_600.0,
    inline_bytes_max=wire.INLINE_BYTES_MAX,
    is_streamed=True,
)
