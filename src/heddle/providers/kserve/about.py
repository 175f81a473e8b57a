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
    operations=("infer", "generate", "generate_stream"),
    idempotency=attempt.IdempotencyClass.A,
    guarantee=(
        "Calls are free and stateless: after a crash in the middle of one it is simply made again. With `paid = true`, "
        "which sequences need, they are class C: a lost answer is unknown and never sent again blindly."
    ),
    source="open-inference-protocol inference_rest.md, Triton docs/protocol and src/http_server.cc (read 2026-11-29)",
    deadline="`timeout` in microseconds",
    priority="`priority`, by class",
    is_streamed=True,
    limits="`x-ratelimit-*`, `RateLimit`, `Retry-After`, where a gateway in front adds them",
    inline_bytes_max=adapter.RESPONSE_BYTES_MAX,
)
