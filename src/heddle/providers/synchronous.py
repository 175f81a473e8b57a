"""Answer for what an endpoint of one request and one answer has not: jobs to ask after and to stop.

An adapter of such an endpoint inherits this and sends; nothing here sends or judges an answer. Before it in the walk:
execute and poll. After it: the transport.
"""

from heddle.core import faults, settle
from heddle.ports import provider
from heddle.providers import endpoints


class Synchronous(endpoints.Endpoint):
    """Speak to one endpoint that accepts no jobs."""

    async def poll(self, handle: str, request: provider.ProviderRequest) -> settle.Outcome:
        """Answer that nothing is learnt: the job was accepted when the endpoint was another, and may be paid for."""
        message = f"a synchronous endpoint was asked after the job {handle[:200]!r}"
        return self._outcomes.judged(faults.Fault.SENT_UNKNOWN, message)

    async def cancel(self, handle: str, request: provider.ProviderRequest) -> bool:
        """Answer no: nothing is to be stopped."""
        return False
