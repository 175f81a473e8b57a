"""Say what SageMaker endpoints offer, for ``docs/providers.md``.

Values alone: nothing here is asked at run time. Before it: ``adapter`` and README.md beside this file. After it: the
registry's ``DECLARATIONS``.
"""

from typing import Final

from heddle.core import attempt
from heddle.ports import provider
from heddle.providers.sagemaker import wire

DECLARATION: Final = provider.Declaration(
    title="Amazon SageMaker endpoints",
    operations=('`/invocations` (`mode = "realtime"`)', '`/async-invocations` (`mode = "async"`)'),
    idempotency=attempt.IdempotencyClass.B,
    guarantee=(
        "An asynchronous job ends at a place in S3 that follows from the attempt: a send whose answer was lost is "
        "looked for there, output and failure, before anything is sent again. A real-time invocation is of class C: "
        "without an answer it stays unknown."
    ),
    source="botocore 1.44.8, model sagemaker-runtime; https://docs.aws.amazon.com/sagemaker (read 2026-11-29)",
    deadline="`X-Amzn-SageMaker-RequestTTLSeconds` and `-InvocationTimeoutSeconds`",
    limits="`ThrottlingException`",
    inline_bytes_max=wire.INLINE_BYTES_MAX,
)
