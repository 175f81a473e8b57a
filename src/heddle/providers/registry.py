"""Know the adapters by name, or by module and class, and make one for each configured endpoint.

This is the one place that turns ``secret = "env:NAME"`` into a value; a refusal names the variable and never the value.
It speaks to nobody: a wrong address shows when the provider is checked or called. Before it: ``wiring`` with the
deployment file. After it: execute and poll, with a provider per endpoint.
"""

import contextlib
import importlib
import re
import types
from collections.abc import Callable, Mapping
from typing import Final

from heddle.config import deployment
from heddle.ports import provider
from heddle.providers import options, shaping, transport
from heddle.providers.anthropic import about as anthropic_about
from heddle.providers.anthropic import adapter as anthropic
from heddle.providers.cog import about as cog_about
from heddle.providers.cog import adapter as cog
from heddle.providers.comfyui import about as comfyui_about
from heddle.providers.comfyui import adapter as comfyui
from heddle.providers.fal import about as fal_about
from heddle.providers.fal import adapter as fal
from heddle.providers.http import about as http_about
from heddle.providers.http import adapter as http
from heddle.providers.huggingface import about as huggingface_about
from heddle.providers.huggingface import adapter as huggingface
from heddle.providers.kserve import about as kserve_about
from heddle.providers.kserve import adapter as kserve
from heddle.providers.mlflow import about as mlflow_about
from heddle.providers.mlflow import adapter as mlflow
from heddle.providers.openai import about as openai_about
from heddle.providers.openai import adapter as openai
from heddle.providers.openai import operations as openai_operations
from heddle.providers.replicate import about as replicate_about
from heddle.providers.replicate import adapter as replicate
from heddle.providers.runpod import about as runpod_about
from heddle.providers.runpod import adapter as runpod
from heddle.providers.sagemaker import about as sagemaker_about
from heddle.providers.sagemaker import adapter as sagemaker
from heddle.providers.simulator import about as simulator_about
from heddle.providers.simulator import adapter as simulator
from heddle.providers.vertex import about as vertex_about
from heddle.providers.vertex import adapter as vertex

Factory = Callable[[provider.EndpointConfig, transport.Transport], provider.Provider]

ADAPTERS: Final[Mapping[str, Factory]] = types.MappingProxyType(
    {
        "anthropic": anthropic.AnthropicProvider,
        "cog": cog.CogProvider,
        "comfyui": comfyui.ComfyuiProvider,
        "fal": fal.FalProvider,
        "http": http.HttpProvider,
        "huggingface": huggingface.HuggingfaceProvider,
        "kserve": kserve.KserveProvider,
        "mlflow": mlflow.MlflowProvider,
        "openai": openai.OpenaiProvider,
        "replicate": replicate.ReplicateProvider,
        "runpod": runpod.RunPodProvider,
        "sagemaker": sagemaker.make,
        "simulator": simulator.SimulatorProvider,
        "vertex": vertex.VertexProvider,
    }
)
# What each adapter offers, for people: docs/providers.md is made of these.
DECLARATIONS: Final[Mapping[str, provider.Declaration]] = types.MappingProxyType(
    {
        "anthropic": anthropic_about.DECLARATION,
        "cog": cog_about.DECLARATION,
        "comfyui": comfyui_about.DECLARATION,
        "fal": fal_about.DECLARATION,
        "http": http_about.DECLARATION,
        "huggingface": huggingface_about.DECLARATION,
        "kserve": kserve_about.DECLARATION,
        "mlflow": mlflow_about.DECLARATION,
        "openai": openai_about.DECLARATION,
        "replicate": replicate_about.DECLARATION,
        "runpod": runpod_about.DECLARATION,
        "sagemaker": sagemaker_about.DECLARATION,
        "simulator": simulator_about.DECLARATION,
        "vertex": vertex_about.DECLARATION,
    }
)
TIMEOUT_MAX_S: Final = 86_400.0
_OWN_FORM: Final = re.compile(r"([A-Za-z_][\w.]*):([A-Za-z_]\w*)\Z")
_SECRET_FORM: Final = "env:"  # noqa: S105 - how a secret is named, not one


class EndpointRefused(ValueError):
    """Say what is wrong with a configured endpoint, and where."""


class NotHere(EndpointRefused):
    """Say what this machine lacks for an endpoint, a secret's value or a library; it may come, or be elsewhere."""


def build(
    endpoint: deployment.Endpoint, environ: Mapping[str, str], connections: transport.Transport | None = None
) -> provider.Provider:
    """Make the provider of an endpoint, which holds ``connections`` until it is closed.

    Give the worker's one transport to every endpoint; without one the provider gets its own. Nothing is opened yet.
    Raises EndpointRefused; NotHere when this machine lacks something.
    """
    factory = ADAPTERS.get(endpoint.adapter) or _own_adapter(endpoint)
    if not _is_timeout(endpoint.timeout_s):
        raise EndpointRefused(
            f"[endpoints.{endpoint.name}] timeout_s is {endpoint.timeout_s!r}; it must be above 0 and at most 86400 s"
        )
    config = provider.EndpointConfig(
        name=endpoint.name,
        adapter=endpoint.adapter,
        url=endpoint.url,
        timeout_s=endpoint.timeout_s,
        options=endpoint.options,
        secret=_secret(endpoint, "secret", endpoint.secret, environ),
        callback_secret=_secret(endpoint, "callback_secret", endpoint.callback_secret, environ),
    )
    try:
        plain, shape = shaping.read(config)
        made = factory(plain, transport.Transport() if connections is None else connections)
    except options.LibraryMissing as error:
        raise NotHere(str(error)) from None
    except options.OptionRefused as error:
        raise EndpointRefused(str(error)) from None
    if (endpoint.price_nano_usd > 0 or endpoint.is_list_priced) and not made.capabilities.is_paid:
        key = "price_usd" if endpoint.price_nano_usd > 0 else "price"
        raise EndpointRefused(
            f"[endpoints.{endpoint.name}] has {key}, but its calls count as free; "
            "write paid = true, where the adapter takes it"
        )
    return made if shape is None else shaping.ShapedProvider(made, shape, where=f"endpoint {endpoint.name}")


def check(wanted: deployment.Deployment, environ: Mapping[str, str]) -> None:
    """Refuse a deployment with an endpoint that no worker could use as it is written. Raises EndpointRefused.

    What this machine lacks is let pass: the one that applies a file need not be one that calls.
    """
    shared = transport.Transport()
    for endpoint in wanted.endpoints.values():
        with contextlib.suppress(NotHere):
            build(endpoint, environ, shared)


def warnings(wanted: deployment.Deployment) -> list[str]:
    """Tell what is allowed and hardly meant: nothing is refused for it, and each says what to write. One that cannot be
    read is left to ``build``, which refuses it.
    """
    found = []
    for endpoint in wanted.endpoints.values():
        if endpoint.adapter != "openai" or not endpoint.is_list_priced:
            continue
        with contextlib.suppress(ValueError):
            problem = openai_operations.warning(endpoint.url, endpoint.options)
            found += [] if problem is None else [f"[endpoints.{endpoint.name}] {problem}"]
    return found


def _own_adapter(endpoint: deployment.Endpoint) -> Factory:
    """Load an adapter that the project brings itself, named ``module:Class``. Raises EndpointRefused."""
    place = f"[endpoints.{endpoint.name}] adapter is {endpoint.adapter!r}"
    match = _OWN_FORM.match(endpoint.adapter)
    if match is None:
        known = ", ".join(sorted(ADAPTERS))
        raise EndpointRefused(f"{place}; known are: {known}; one of your own is written module:Class")
    try:
        found = getattr(importlib.import_module(match[1]), match[2], None)
    except ImportError as error:
        raise EndpointRefused(f"{place}, and {match[1]} cannot be imported: {error}") from None
    if not callable(found):
        raise EndpointRefused(f"{place}, and {match[1]} has no {match[2]}")
    factory: Factory = found
    return factory


def _is_timeout(value: object) -> bool:
    """Tell whether a value of the file, which checks no types, is a number of seconds in range."""
    return isinstance(value, int | float) and 0 < value <= TIMEOUT_MAX_S


def _secret(endpoint: deployment.Endpoint, key: str, named: str | None, environ: Mapping[str, str]) -> str | None:
    """Resolve ``env:NAME``; None when the endpoint names no secret."""
    if named is None:
        return None
    place = f"[endpoints.{endpoint.name}] {key}"
    variable = named.removeprefix(_SECRET_FORM)
    if not named.startswith(_SECRET_FORM) or not variable:
        raise EndpointRefused(f'{place} must be of the form "env:NAME"; secrets are not written in files')
    value = environ.get(variable, "")
    if not value:
        raise NotHere(f"{place} is env:{variable}, and the environment has no {variable}; set it")
    if not value.isascii() or not value.isprintable() or value != value.strip():
        raise EndpointRefused(f"{place}: the value of {variable} has a line break, a blank at an end or no ASCII")
    return value
