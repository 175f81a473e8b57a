"""Say what an endpoint of the ``http`` adapter offers, for ``docs/providers.md``.

Values alone: nothing here is asked at run time. What one endpoint really offers depends on its options and stands in
its ``Capabilities``. Before it: ``adapter`` and README.md beside this file. After it: the registry's ``DECLARATIONS``.
"""

from typing import Final

from heddle.core import attempt
from heddle.ports import provider
from heddle.providers import transport

DECLARATION: Final = provider.Declaration(
    title="Any synchronous HTTP endpoint",
    operations=("one request, one answer of JSON or a medium",),
    idempotency=attempt.IdempotencyClass.C,
    guarantee=(
        "After a crash in the middle of a paid call its outcome is unknown and it is not sent again; with "
        "`idempotency_header` the endpoint is of class A, and the call is sent again under the same key."
    ),
    source="none: every endpoint describes its own wire form (read 2026-11-21)",
    limits="`x-ratelimit-*`, `anthropic-ratelimit-*`, `RateLimit`, `Retry-After`",
    inline_bytes_max=transport.BODY_BYTES_MAX,
)
