"""Say what the simulated provider offers, for ``docs/providers.md``.

Values alone: nothing here is asked at run time. Before it: ``adapter`` and the twin's README.md. After it: the
registry's ``DECLARATIONS``.
"""

from typing import Final

from heddle.core import attempt
from heddle.ports import provider

DECLARATION: Final = provider.Declaration(
    title="The simulated provider of pictures, on this machine",
    operations=("picture jobs",),
    idempotency=attempt.IdempotencyClass.A,
    guarantee=(
        "Option `class`: in A a send is repeated under its key and finds its job; in B the job is looked up by the "
        "attempt's id before anything is sent again; in C the outcome stays unknown until somebody decides."
    ),
    source="src/heddle/twins/simulator/README.md (read 2026-11-29)",
    callback="Standard Webhooks, HMAC-SHA256",
    cancel="`POST /v1/jobs/{id}/cancel`",
    limits="`Retry-After` with 429",
)
