"""Call Glow, an invented vendor that relights photographs: one paid request, one picture."""

from heddle.core import attempt, faults, settle
from heddle.ports import blobs, provider
from heddle.providers import json_wire, media, options, statuses, synchronous, transport

FAULTS = {  # what the vendor documents; a pair that is not here falls to the table of statuses
    (402, "no_credit"): faults.Fault.REJECTED_TRANSIENT,
    (503, "queue_full"): faults.Fault.THROTTLED,  # nothing was begun, says the vendor
}


class GlowProvider(synchronous.Synchronous):
    """Speak to one account at Glow, which takes an idempotency key: class A."""

    def __init__(self, config: provider.EndpointConfig, connections: transport.Transport) -> None:
        source = options.Options(config)
        self._style = source.text("style", default="studio")
        source.end()
        super().__init__(config, connections, is_guarded=True)
        self._headers = {"Authorization": f"Bearer {config.secret}", "Content-Type": "application/json"}
        self.capabilities = provider.Capabilities(idempotency=attempt.IdempotencyClass.A, is_paid=True)

    async def send(self, request: provider.ProviderRequest) -> settle.Outcome:
        """Make one attempt."""
        try:
            given = await media.write_out(request.input, reader=request.artifacts, as_data_url=False)
            body = json_wire.write_json({"style": self._style, **given})
        except (ValueError, blobs.BlobMissing) as error:
            return self._outcomes.unsent(error)
        call = transport.Call(
            method="POST",
            url=f"{self._base_url}/v1/relight",
            headers={**self._headers, "Idempotency-Key": request.idempotency_key},
            body=body,
            timeout_s=self._timeout_s(request),
            is_repeatable=True,
        )
        reply = await self._transport.exchange(call)
        if not isinstance(reply, transport.Reply):
            return self._outcomes.loss(reply)
        if reply.status != 200:
            pair = (reply.status, reply.headers.get("x-glow-error", ""))
            return self._outcomes.refused(reply, FAULTS.get(pair) or statuses.fault_of(reply.status))
        try:
            answer = json_wire.parse_json(reply.body)
            data, kind = media.decode_medium(json_wire.follow(answer, "/image"))
            image = (await request.artifacts.write(data, media_type=kind)).as_json()
        except json_wire.WireRefused as error:
            return self._outcomes.bad(f"the answer {error}", reply.body)
        except blobs.BlobRefused as error:
            return self._outcomes.blob_refused(error)
        except OSError as error:
            return self._outcomes.not_stored(error)
        return settle.Completed(output={"image": image}, cost_nano_usd=json_wire.cost_nano_usd(answer, "/cost_usd"))

    async def check(self) -> str | None:
        """Ask Glow how it is."""
        return await self._trouble_at("/v1/health", self._headers)
