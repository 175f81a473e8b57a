"""Give an endpoint the input its provider wants, and the model the output it declares.

One model often runs at several providers, each with names of its own: ``prompt`` here, ``text`` there, a list of
files in one answer and ``image.url`` in another. ``[endpoints.X.shape]`` says how its input is made of the model's, and
the model's output of its answer, so that a fallback needs no code. Nothing is sent or judged here: the adapter inside
does that. Before it: the registry. After it: the adapter.
"""

import dataclasses
from collections.abc import Mapping

from heddle.core import faults, identity, settle
from heddle.ports import provider
from heddle.providers import options, templates


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Hold both templates; README of the adapters calls them ``shape.input`` and ``shape.output``."""

    input: identity.JsonValue = "{input}"
    output: identity.JsonValue = "{output}"


def read(config: provider.EndpointConfig) -> tuple[provider.EndpointConfig, Shape | None]:
    """Take ``shape`` out of an endpoint's options. Raises OptionRefused naming what is wrong with it."""
    if "shape" not in config.options:
        return config, None
    table = config.options["shape"]
    rest = dataclasses.replace(config, options={key: value for key, value in config.options.items() if key != "shape"})
    place = f"[endpoints.{config.name}] shape"
    if not isinstance(table, dict) or set(table) - {"input", "output"} or not table:
        raise options.OptionRefused(f"{place} must be a table with input, output or both")
    shape = Shape(**table)
    for key, template, names in (("input", shape.input, ("input",)), ("output", shape.output, ("output", "input"))):
        trouble = templates.trouble(template, path=key, names=names, plain=("model",))
        if trouble:
            raise options.OptionRefused(f"{place}.{trouble}")
    if not isinstance(shape.input, dict) and shape.input != "{input}":
        raise options.OptionRefused(f"{place}.input must be a table: the provider's arguments by name")
    return rest, shape


class ShapedProvider:
    """Speak through another provider in another shape."""

    def __init__(self, inner: provider.Provider, shape: Shape, *, where: str) -> None:
        self.capabilities = inner.capabilities
        self._inner = inner
        self._shape = shape
        self._where = where

    async def send(self, request: provider.ProviderRequest) -> settle.Outcome:
        """Make one attempt with the provider's own input."""
        shaped = self._shaped(request)
        if isinstance(shaped, settle.Faulted):
            return shaped
        return self._answered(await self._inner.send(shaped), request)

    async def poll(self, handle: str, request: provider.ProviderRequest) -> settle.Outcome:
        """Ask after a job."""
        shaped = self._shaped(request)
        return self._answered(await self._inner.poll(handle, _or_plain(shaped, request)), request)

    async def lookup(self, request: provider.ProviderRequest) -> settle.Outcome:
        """Find what became of a send."""
        shaped = self._shaped(request)
        return self._answered(await self._inner.lookup(_or_plain(shaped, request)), request)

    async def cancel(self, handle: str, request: provider.ProviderRequest) -> bool:
        """Ask for a job to be stopped."""
        return await self._inner.cancel(handle, _or_plain(self._shaped(request), request))

    def verify_callback(self, *, headers: Mapping[str, str], body: bytes, now_s: float) -> provider.CallbackEvent:
        """Verify a callback."""
        return self._inner.verify_callback(headers=headers, body=body, now_s=now_s)

    async def check(self) -> str | None:
        """Tell what is wrong with the endpoint."""
        return await self._inner.check()

    async def close(self) -> None:
        """Let go of connections."""
        await self._inner.close()

    def _shaped(self, request: provider.ProviderRequest) -> provider.ProviderRequest | settle.Faulted:
        try:
            made = templates.fill(self._shape.input, {"input": request.input, "model": request.model})
        except templates.TemplateUnfilled as error:
            message = f"nothing was sent: {error}, which shape.input asks for"
            return self._fault(faults.Fault.REJECTED_PERMANENT, message)
        return dataclasses.replace(request, input=made)

    def _answered(self, outcome: settle.Outcome, request: provider.ProviderRequest) -> settle.Outcome:
        if not isinstance(outcome, settle.Completed):
            return outcome
        values = {"output": outcome.output, "input": request.input, "model": request.model}
        try:
            return dataclasses.replace(outcome, output=templates.fill(self._shape.output, values))
        except templates.TemplateUnfilled as error:
            fault = self._fault(faults.Fault.BAD_OUTPUT, f"{error}, which shape.output asks for")
            return dataclasses.replace(fault, billed_nano_usd=outcome.cost_nano_usd, told=outcome.told)

    def _fault(self, fault: faults.Fault, message: str) -> settle.Faulted:
        return settle.Faulted(fault=faults.StepFault(fault=fault, message=message, where=self._where))


def _or_plain(
    shaped: provider.ProviderRequest | settle.Faulted, request: provider.ProviderRequest
) -> provider.ProviderRequest:
    """Give the request as it is where its shape has become impossible: a job that was taken is asked after anyway."""
    return request if isinstance(shaped, settle.Faulted) else shaped
