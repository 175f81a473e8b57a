"""Say what an endpoint of the ``mlflow`` adapter offers, for ``docs/providers.md``.

Values alone: nothing here is asked at run time. Before it: ``adapter`` and README.md beside this file. After it: the
registry's ``DECLARATIONS``.
"""

from typing import Final

from heddle.core import attempt
from heddle.ports import provider
from heddle.providers.mlflow import adapter

DECLARATION: Final = provider.Declaration(
    title="MLflow scoring server",
    operations=("invocations",),
    idempotency=attempt.IdempotencyClass.C,
    guarantee=(
        "Calls are free unless `paid = true`: a lost answer is tried again, and of a paid one it is unknown and never "
        "sent again blindly."
    ),
    source="mlflow-skinny pyfunc/scoring_server (read 2026-11-29)",
    limits="`x-ratelimit-*`, `RateLimit`, `Retry-After`, where a gateway in front adds them",
    inline_bytes_max=adapter.RESPONSE_BYTES_MAX,
)
