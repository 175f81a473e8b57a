"""Turn the output of a succeeded prediction into ours: its files become artifacts, its price a cost.

Replicate deletes files an hour after the prediction, so they are copied at once. A text that is no link to where
Replicate serves files is a text: a model's words never make this machine fetch something. Before it: the adapter with a
prediction. After it: settle.
"""

import dataclasses
from collections.abc import Callable, Mapping

from heddle.core import faults, identity, settle
from heddle.core.policy import price as price_policy
from heddle.core.policy import told
from heddle.ports import provider
from heddle.providers import fetching, media, prices, transport
from heddle.providers.replicate import wire


class _Stopped(Exception):
    """Carry the first file that was not copied out of the walk over the output."""

    def __init__(self, why: fetching.NotCopied) -> None:
        super().__init__(why.message)
        self.why = why


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Collector:
    """Collect the results of one endpoint.

    ``headers``: our credential, sent to the endpoint's own origin only. ``hosts``: where files are served, with their
    subdomains. ``model_name``: the model that is ordered, empty where the answer has to say.
    """

    connections: transport.Transport
    base_url: str
    headers: Mapping[str, str]
    hosts: tuple[str, ...]
    model_name: str

    async def collect(
        self, prediction: wire.Prediction, *, artifacts: provider.ArtifactReader, left_s: Callable[[], float]
    ) -> settle.Completed | fetching.NotCopied:
        """Give a prediction's result with its files copied, or the first that could not be.

        left_s: what is left of the time, in seconds. A second call stores the same bytes under the same references.
        """
        about = f"the result of {prediction.handle.id}"
        if prediction.is_removed and prediction.output is None:
            return _lost(f"{about} was deleted at Replicate before it was copied")
        source = fetching.Source(home=self.base_url, headers=self.headers)

        async def read(link: str) -> identity.JsonValue:
            found = await fetching.copy(
                link, source=source, connections=self.connections, artifacts=artifacts, timeout_s=left_s()
            )
            if isinstance(found, fetching.NotCopied):
                raise _Stopped(dataclasses.replace(found, message=f"{about} is not copied: {found.message}"))
            return found.as_json()

        try:
            output = await media.taken(prediction.output, is_medium=self._is_file, read=read)
        except _Stopped as stopped:
            return stopped.why
        except media.MediaRefused as error:
            return _lost(f"{about} is not copied: {error}")
        images = media.images_in(output)
        return settle.Completed(
            output=output,
            cost_nano_usd=self.cost(prediction, images=images),
            told=told.Told(images=images or None),
        )

    def cost(self, prediction: wire.Prediction, *, images: int) -> int | None:
        """Give the list price of what a prediction made and how long it ran; None where none is listed."""
        listed = prices.of(prices.read("replicate"), self.model_name or prediction.model)
        if listed is None:
            return None
        usage = price_policy.Usage(images=images, seconds=prediction.predict_time_s)
        return price_policy.cost_nano_usd(listed, usage)

    def _is_file(self, text: str) -> bool:
        if media.is_data_url(text):
            return True
        if not text[:8].lower().startswith("http") or not text.isprintable() or " " in text:
            return False
        found = fetching.origin(text)
        if found is None:
            return False
        is_served = any(found[1] == host or found[1].endswith(f".{host}") for host in self.hosts)
        return is_served or fetching.is_same_origin(text, self.base_url)


def _lost(message: str) -> fetching.NotCopied:
    return fetching.NotCopied(fault=faults.Fault.BAD_OUTPUT, message=message, is_passing=False)
