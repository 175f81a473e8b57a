"""Say what an endpoint of the ``kserve`` adapter offers, for ``docs/providers.md``.

Values alone: nothing here is asked at run time. Before it: ``adapter`` and README.md beside this file. After it: the
registry's ``DECLARATIONS``.
"""

from typing import Final

from heddle.core import attempt
from heddle.ports import provider
from heddle.providers.kserve import adapter

DECLARATION: Final = provider.Declaration(
    title="Open Inference Protocol V2: KServe, Triton, MLServer",
    operations=("infer",),
    idempotency=attempt.IdempotencyClass.A,
    guarantee="Calls are free and stateless: after a crash in the middle of one it is simply made again.",
    source="open-inference-protocol inference_rest.md and Triton's extension_binary_data.md (read 2026-11-21)",
    limits="`x-ratelimit-*`, `RateLimit`, `Retry-After`, where a gateway in front adds them",
    inline_bytes_max=adapter.RESPONSE_BYTES_MAX,
)
