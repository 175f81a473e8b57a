"""Be the one way into the house: submit, show, wait for and steer runs, keep artifacts, answer callbacks.

Every door (Python callers, command line, HTTP, console) reaches the house through ``Heddle`` and speaks frozen records
with it, so that all of them refuse the same things in the same words. This room refuses to know Django, SQL or HTTP:
what it needs is handed to it by the wiring. Callers stand before it, the store's doors and the artifact storage behind
it.
"""

from heddle.client.admission import InvalidInput, RunRequest, UnknownWorkflow
from heddle.client.backpressure import Overloaded, QuotaExceeded
from heddle.client.facade import Heddle
from heddle.client.operating import BulkRequest, Operating
from heddle.client.readiness import Dependency
from heddle.client.spending import ModelQuote, Spending, WorkflowQuote
from heddle.client.submitted import Submitted
from heddle.client.tokens import TokenRefused
from heddle.client.values import Problem
from heddle.client.webhooks import Webhooks

__all__ = [
    "Heddle",
    "Operating",
    "Spending",
    "ModelQuote",
    "WorkflowQuote",
    "BulkRequest",
    "RunRequest",
    "Submitted",
    "Dependency",
    "InvalidInput",
    "Problem",
    "Overloaded",
    "QuotaExceeded",
    "UnknownWorkflow",
    "TokenRefused",
    "Webhooks",
]
