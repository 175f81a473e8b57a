"""Run one gateway in this process on a real database, before a model that answers as the test says."""

import asyncio
import contextlib
import dataclasses
import pathlib
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import heddle
from heddle import wiring
from heddle.config import deployment, settings
from heddle.core import attempt, settle
from heddle.engine import parts as parts_module
from heddle.gateway import serve
from heddle.ports import provider
from tests import pg
from tests.integration import working
from tests.races import scene

PRICE_NANO_USD = 2_000_000
REUSED = heddle.model("gateway_reused", reuse=heddle.Reuse(hours=1))
MODELS = (REUSED.name, "writer", "backdrop", "chat", "mapped", "vectors", "paint", "studio.relight")
Answer = Callable[[provider.ProviderRequest], settle.Outcome]


def completion(text: str, **more: Any) -> dict[str, Any]:
    """Give a chat completion as the vendor gives it."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [choice],
        "usage": usage,
        **more,
    }


def done(output: Any) -> settle.Completed:
    """Answer a call."""
    return settle.Completed(output=output, cost_nano_usd=PRICE_NANO_USD)


class Talker:
    """Answer each call with the next answer of a script, its pieces first; keep what it was asked."""

    capabilities = provider.Capabilities(
        idempotency=attempt.IdempotencyClass.C, is_paid=True, has_poll=False, has_lookup=False
    )

    def __init__(self) -> None:
        self.asked: list[provider.ProviderRequest] = []
        self.script: list[tuple[tuple[Any, ...], settle.Outcome | Exception]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.after_pieces = asyncio.Event()
        self.after_pieces.set()

    def will(self, *answers: settle.Outcome | tuple[tuple[Any, ...], settle.Outcome]) -> None:
        """Script the next answers; the last one is given to every further call."""
        self.asked.clear()
        self.script = [answer if isinstance(answer, tuple) else ((), answer) for answer in answers]

    async def send(self, request: provider.ProviderRequest) -> settle.Outcome:
        self.asked.append(request)
        pieces, outcome = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        await asyncio.wait_for(self.gate.wait(), working.PATIENCE_S)
        for piece in pieces:
            if request.on_delta is not None:
                request.on_delta(piece)
                await asyncio.sleep(0)
        await asyncio.wait_for(self.after_pieces.wait(), working.PATIENCE_S)
        assert not isinstance(outcome, Exception)
        return outcome

    async def lookup(self, *_given: Any, **_named: Any) -> settle.Outcome:
        return settle.Unknown(message="nobody knows")

    async def close(self) -> None:
        """Hold nothing."""


@dataclasses.dataclass(slots=True, kw_only=True)
class Site:
    """One gateway that listens, its talker, and a key for it."""

    url: str
    key: str
    talker: Talker
    parts: parts_module.Parts
    database: pg.Database


def parts_of(database: pg.Database, folder: pathlib.Path, talker: Talker, **limits: Any) -> parts_module.Parts:
    """Name the parts of a gateway: all real but its endpoints."""
    made = working.parts_of(database, folder, talker, name="gateway")
    made.settings = dataclasses.replace(
        settings.Settings(
            state_dir=str(folder),
            sweep_interval_s=0.1,
            poll_interval_s=0.1,
            drain_s=5.0,
            unknown_at_most_s=1.0,
            secret_key="for tests only",
        ),
        **limits,
    )
    made.blobs = cast("Any", wiring.blobs())
    made.is_models_only = True
    return made


def deploy(house: scene.House) -> None:
    """Route every model to one paid endpoint; only `chat`, `vectors` and `paint` take the vendor's bodies."""
    priced = scene.endpoint("one", price_nano_usd=PRICE_NANO_USD)
    endpoints = [
        dataclasses.replace(priced, adapter="openai", regions=("eu",)),
        dataclasses.replace(priced, name="two", scopes=("two",), adapter="simulator", regions=("us",)),
    ]
    vendor = {REUSED.name, "writer", "chat", "vectors", "paint"}
    house.deploy(
        endpoints,
        [deployment.Route(model=name, endpoint="one" if name in vendor else "two") for name in MODELS],
        tenants=[
            deployment.Tenant(name="bounded", runs_per_min=2),
            deployment.Tenant(name="european", regions=("eu",)),
        ],
    )


@contextlib.asynccontextmanager
async def open_site(
    database: pg.Database,
    folder: pathlib.Path,
    *,
    build: parts_module.BuildProvider | None = None,
    prepare: Callable[[parts_module.Parts], None] = lambda _parts: None,
    is_deployed: bool = False,
    **limits: Any,
) -> AsyncIterator[Site]:
    """Serve for the block, then leave in order. ``build``: makes the adapters, when it is not the talker.
    ``prepare``: changes other parts.
    """
    if not is_deployed:
        with database.connect() as connection:
            deploy(scene.House(database=database, connection=connection, store=scene.engine_store(database)))
    talker = Talker()
    parts = parts_of(database, folder, talker, **limits)
    parts.build_provider = build or parts.build_provider
    prepare(parts)
    stop, listening = asyncio.Event(), asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve.serve(stop, parts, host="127.0.0.1", port=0, listening=listening))
    done_first, _ = await asyncio.wait(
        {serving, listening}, return_when=asyncio.FIRST_COMPLETED, timeout=working.PATIENCE_S
    )
    if serving in done_first:
        serving.result()
    key, _ = await scene.in_thread(lambda: wiring.client().create_key(tenant="default", name="test"))
    try:
        yield Site(
            url=f"http://127.0.0.1:{listening.result()}/v1", key=key, talker=talker, parts=parts, database=database
        )
    finally:
        talker.gate.set()
        talker.after_pieces.set()
        stop.set()
        await asyncio.wait_for(serving, working.PATIENCE_S)


async def key_of(tenant: str) -> str:
    """Make a key for a tenant."""
    key, _ = await scene.in_thread(lambda: wiring.client().create_key(tenant=tenant, name="test"))
    return str(key)


async def run_of(request_id: str | None, *, tenant: str = "default") -> Any:
    """Look at the run of a request as its owner does."""
    assert request_id is not None
    return await scene.in_thread(lambda: wiring.client().get(request_id, tenant=tenant))
