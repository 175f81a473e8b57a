"""Say what an endpoint at Replicate offers, for ``docs/providers.md``.

Values alone: nothing here is asked at run time. Before it: ``adapter`` and README.md beside this file. After it: the
registry's ``DECLARATIONS``.
"""

from typing import Final

from heddle.core import attempt
from heddle.ports import provider
from heddle.providers.replicate import inputs

DECLARATION: Final = provider.Declaration(
    title="Replicate predictions",
    operations=("predictions of a model", "of a version", "of a deployment"),
    idempotency=attempt.IdempotencyClass.C,
    guarantee=(
        "Replicate offers no key and no look-up, so a send whose answer is lost is not repeated; its webhook, whose "
        "address carries a token that only this attempt has, names the prediction and resolves it. Without a webhook "
        "within `lookup_bound_s`, the model's `unknown_policy` decides."
    ),
    source=(
        "replicate 1.0.7 (Python); https://replicate.com/docs/topics/predictions and "
        "https://replicate.com/docs/topics/webhooks (read 2026-11-29)"
    ),
    callback="Standard Webhooks, HMAC-SHA256; event `completed` only",
    is_named_by_callback=True,
    cancel="`POST` to `urls.cancel`",
    deadline="`Cancel-After`",
    limits="429 with the seconds in its body",
    result_ttl_s=3_600.0,
    inline_bytes_max=inputs.INLINE_BYTES_MAX,
)
