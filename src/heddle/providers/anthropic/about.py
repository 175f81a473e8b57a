"""Say what an endpoint of Anthropic's Messages API offers, for ``docs/providers.md``.

Values alone: nothing here is asked at run time. Before it: ``adapter`` and README.md beside this file. After it: the
registry's ``DECLARATIONS``.
"""

from typing import Final

from heddle.core import attempt
from heddle.ports import provider
from heddle.providers.anthropic import wire

DECLARATION: Final = provider.Declaration(
    title="Anthropic messages",
    operations=("messages", "messages as a stream"),
    idempotency=attempt.IdempotencyClass.C,
    guarantee=(
        "The API takes no idempotency key, keeps no answer and cannot be asked: a send whose answer was lost or cut is "
        "unknown and is not repeated, unless the model's `unknown_policy` is `at_least_once`."
    ),
    source=(
        "anthropic 2.14.0 (Python); https://platform.claude.com/docs/en/api/errors, …/rate-limits and "
        "…/build-with-claude/streaming (read 2026-11-29)"
    ),
    limits="`anthropic-ratelimit-*`, `Retry-After`",
    inline_bytes_max=wire.REQUEST_BYTES_MAX,
    is_streamed=True,
)
