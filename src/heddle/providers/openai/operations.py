"""Name the operations of the ``openai`` adapter and read the options of an endpoint.

Pure. Before it: the registry with a configured endpoint. After it: ``line`` and the adapter.
"""

import dataclasses
import enum
import types
from collections.abc import Mapping
from typing import Final
from urllib import parse

from heddle.core import run
from heddle.ports import provider
from heddle.providers import options, signing

RESPONSE_BYTES_MAX: Final = 64 * 1024**2
OFFICIAL_HOST: Final = "api.openai.com"
BATCH_ENDPOINTS: Final = ("/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/images/generations")


class Operation(enum.StrEnum):
    """Name what an endpoint does for its models."""

    CHAT = "chat"
    RESPONSES = "responses"
    EMBEDDINGS = "embeddings"
    IMAGES_GENERATE = "images_generate"
    IMAGES_EDIT = "images_edit"
    VIDEOS = "videos"
    BATCH = "batch"


class StreamEnd(enum.StrEnum):
    """Name what shows that the stream of a chat is whole."""

    FINISH_REASON = "finish_reason"  # each choice says why it stopped, and then [DONE]
    DONE = "done"  # [DONE] alone: for servers that give no reasons, and write none behind an answer that was cut


PATHS: Final[Mapping[Operation, str]] = types.MappingProxyType(
    {
        Operation.CHAT: "/chat/completions",
        Operation.RESPONSES: "/responses",
        Operation.EMBEDDINGS: "/embeddings",
        Operation.IMAGES_GENERATE: "/images/generations",
        Operation.IMAGES_EDIT: "/images/edits",
        Operation.VIDEOS: "/videos",
        Operation.BATCH: "/batches",
    }
)
# How long to wait between two questions about a job, where the option does not say.
_POLL_AFTER_S: Final[Mapping[Operation, float]] = types.MappingProxyType(
    {Operation.VIDEOS: 10.0, Operation.BATCH: 60.0}
)
_POLL_AFTER_DEFAULT_S: Final = 2.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OpenaiOptions:
    """Hold the options of one endpoint; README.md beside this file explains each."""

    operation: Operation
    model_name: str | None
    is_paid: bool
    organization: str | None
    project: str | None
    service_tiers: Mapping[run.Priority, str]
    batch_endpoint: str
    poll_after_s: float
    lookup_bound_s: float
    has_list_prices: bool
    response_bytes_max: int
    stream_end: StreamEnd


def read(config: provider.EndpointConfig) -> OpenaiOptions:
    """Read and check the endpoint's options. Raises OptionRefused naming the first one that is wrong."""
    source = options.Options(config)
    operation = source.choice("operation", default=Operation.CHAT)
    is_official = _is_official(options.require_http_url(config))
    found = OpenaiOptions(
        operation=operation,
        model_name=source.text("model_name", default="") or None,
        is_paid=source.flag("paid", default=True),
        organization=_header(source, "organization"),
        project=_header(source, "project"),
        service_tiers=_tiers(source),
        batch_endpoint=source.text("batch_endpoint", default=BATCH_ENDPOINTS[0]),
        poll_after_s=source.number(
            "poll_after_s",
            default=_POLL_AFTER_S.get(operation, _POLL_AFTER_DEFAULT_S),
            low=0.05,
            high=3_600,
            unit="s",
        ),
        lookup_bound_s=source.number("lookup_bound_s", default=60.0, low=0, high=86_400, unit="s"),
        has_list_prices=source.flag("list_prices", default=is_official),
        response_bytes_max=int(
            source.number("response_bytes_max", default=RESPONSE_BYTES_MAX, low=1_024, high=1024**3, unit="bytes")
        ),
        stream_end=source.choice("stream_end", default=StreamEnd.FINISH_REASON),
    )
    source.end()
    if found.batch_endpoint not in BATCH_ENDPOINTS:
        allowed = ", ".join(BATCH_ENDPOINTS)
        raise source.refusal("batch_endpoint", f"is {found.batch_endpoint!r}; it must be one of {allowed}")
    if is_official and config.secret is None:
        raise source.refusal("secret", 'is missing; OpenAI asks for a key, write secret = "env:NAME"')
    if config.callback_secret is not None:
        try:
            signing.key(config.callback_secret)
        except signing.SecretMalformed as error:
            raise source.refusal("callback_secret", f"cannot be used: {error}") from None
    return found


def warning(url: str, given: Mapping[str, object]) -> str | None:
    """Tell what an endpoint that goes by the price list leaves out, where its charges would silently be estimates."""
    if "list_prices" in given or given.get("paid") is False or _is_official(url):
        return None
    return (
        f'has price = "list" at {url}, which is not {OFFICIAL_HOST}: every charge is an estimate, what was reserved. '
        "Write list_prices = true if what is served there costs OpenAI's list prices, list_prices = false if it is to "
        "stay so, or price_usd in place of price"
    )


def _is_official(url: str) -> bool:
    return (parse.urlsplit(url).hostname or "") == OFFICIAL_HOST


def _header(source: options.Options, key: str) -> str | None:
    value = source.text(key, default="")
    if not value.isascii() or not value.isprintable() or value != value.strip():
        raise source.refusal(key, "must be printable ASCII without blanks at its ends; it goes out as a header")
    return value or None


def _tiers(source: options.Options) -> Mapping[run.Priority, str]:
    """Read which ``service_tier`` each class of runs asks for."""
    tiers: dict[run.Priority, str] = {}
    for name, tier in source.table("service_tiers").items():
        if name not in set(run.Priority) or not isinstance(tier, str) or not tier:
            allowed = ", ".join(run.Priority)
            raise source.refusal(f"service_tiers.{name}", f"is {tier!r}; name a tier for {allowed}")
        tiers[run.Priority(name)] = tier
    return tiers
