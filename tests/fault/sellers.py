"""The sellers of the crash matrix: one row for each kind of provider, each with a book of its own as the referee.

Twins run in a thread of this process, so that only the product's own processes die; the simulated provider is a
process. A row names the class, what one purchase asks for, and how its endpoint is configured. Before it:
``heddle.twins``. After it: ``matrix``.
"""

import asyncio
import contextlib
import dataclasses
import json
import pathlib
import re
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from heddle.providers.comfyui import wire as comfyui
from heddle.twins import registry
from heddle.twins.kit import calls, faults, ledger, options, server
from tests.fault import figures, harness, programs

ATTEMPTS_MAX = 20
NUMBER = re.compile(rb"purchase (\d+)")
SEED = 7
GRAPH: Mapping[str, Any] = {
    "3": {"class_type": "KSampler", "inputs": {"seed": "{input.number}", "steps": 20, "cfg": 7}},
    "9": {"class_type": "SaveImage", "inputs": {"images": ["3", 0], "filename_prefix": "shot"}},
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """One payment of a seller's book. ``subject``: which purchase it was for, as far as the seller can tell."""

    subject: str
    at_s: float
    ends_at_s: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Seller:
    """One row: ``kind`` is its class in the matrix, ``options`` the endpoint's own lines, ``given`` one purchase.

    ``concurrency``: sends at once; with 1 a kill leaves one purchase in doubt. ``latency_s``: how long a job takes.
    ``is_forgetful``: a job that has ended is not known any more. ``may_rest_unpaid``: a purchase that was never
    accepted may be left unknown, since nothing proves that it was not. ``path`` follows the twin's address.
    """

    name: str
    twin: str
    kind: str
    given: Callable[[int], dict[str, Any]]
    options: str = ""
    path: str = ""
    policy: str = "at_most_once"
    has_callback: bool = False
    has_secret: bool = True
    concurrency: int = 1_000
    is_forgetful: bool = False
    may_rest_unpaid: bool = False
    latency_s: float = 0.1

    @property
    def model(self) -> str:
        """Name the model that leads here."""
        return f"purchase_{self.name}"

    @property
    def price_nano_usd(self) -> int:
        """Give what one purchase costs; a container of one's own has no price."""
        return 0 if self.twin == "cog" else programs.PRICE_NANO_USD

    def subjects(self, run_id: uuid.UUID, number: int) -> frozenset[str]:
        """Give the names under which a purchase may stand in the book."""
        attempts = [f"{run_id}.1.{tried}" for tried in range(1, ATTEMPTS_MAX + 1)]
        jobs = map(comfyui.prompt_id, attempts) if self.twin == "comfyui" else attempts
        return frozenset({str(number), *jobs})


def _prompt(number: int) -> dict[str, Any]:
    return {"prompt": f"espresso on marble, purchase {number}"}


def _picture(number: int) -> dict[str, Any]:
    return {"prompt": "espresso on marble", "seed": number, "width": 64, "height": 64}


def _messages(number: int) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": f"Describe purchase {number}."}]}


_SIMULATED = 'poll_after_s = 0.2\nlookup_bound_s = 1\ncallback_secret = "env:SIM_HOOK"\nclass = "{kind}"'
SELLERS: Mapping[str, Seller] = {
    each.name: each
    for each in (
        Seller(
            name="simulator_a", twin="", kind="A", given=_picture, has_callback=True,
            options=_SIMULATED.format(kind="A"),
        ),
        # A container forgets a prediction when it has ended, so it runs for longer than a death takes to be noticed,
        # also where several die at once on a busy machine.
        Seller(
            name="cog", twin="cog", kind="A", given=_prompt, has_secret=False, is_forgetful=True,
            latency_s=figures.scaled(short=6, full=30),
            options='mode = "async"\npoll_after_s = 0.2',
        ),
        Seller(
            name="simulator_b", twin="", kind="B", given=_picture, has_callback=True,
            options=_SIMULATED.format(kind="B"),
        ),
        Seller(
            name="openai_batch", twin="openai", kind="B", path="/v1",
            given=lambda number: {"requests": [_messages(number)]},
            options='operation = "batch"\nmodel_name = "gpt-4o-mini"\npoll_after_s = 0.2\nlookup_bound_s = 1',
        ),
        Seller(
            name="comfyui", twin="comfyui", kind="B", given=lambda number: {"number": number}, has_secret=False,
            may_rest_unpaid=True,  # the server may have been restarted, which forgets a job
            options='outputs = {{ image = "9" }}\ngraph = "{graph}"\npoll_after_s = 0.2\nlookup_bound_s = 1\n'
            "paid = true",
        ),
        Seller(
            name="replicate", twin="replicate", kind="C called back", given=_prompt, has_callback=True,
            latency_s=0.5, may_rest_unpaid=True,
            options='model_name = "black-forest-labs/flux-schnell"\npoll_after_s = 0.2\nlookup_bound_s = 600\n'
            'callback_secret = "env:SIM_HOOK"',
        ),
        Seller(
            name="fal", twin="fal", kind="C called back", given=_prompt, has_callback=True,
            latency_s=0.5, may_rest_unpaid=True,
            options='model_name = "fal-ai/flux/dev"\npoll_after_s = 0.2\ncallback_wait_s = 600\n'
            'jwks_url = "{url}/.well-known/jwks.json"',
        ),
        Seller(
            name="anthropic", twin="anthropic", kind="C at most once",
            given=lambda number: {"max_tokens": 50, **_messages(number)}, options='model_name = "claude-opus-5-5"',
        ),
        Seller(
            name="openai", twin="openai", kind="C at least once", path="/v1", given=_messages, policy="at_least_once",
            concurrency=1,
            options='operation = "chat"\nmodel_name = "gpt-4o-mini"',
        ),
    )
}  # fmt: skip


class Stall:
    """One seller that is open."""

    def __init__(self, seller: Seller, *, url: str, book: Callable[[], list[Payment]]) -> None:
        self.seller = seller
        self.url = url
        self._book = book

    def payments(self) -> list[Payment]:
        """Give every payment it took and kept."""
        return self._book()

    def configuration(self, folder: pathlib.Path) -> str:
        """Write the part of a heddle.toml that leads here."""
        seller, name = self.seller, self.seller.model
        graph = folder / "graph.json"
        graph.write_text(json.dumps(GRAPH))
        adapter = seller.twin or "simulator"
        own = seller.options.format(url=self.url, graph=graph) if "{" in seller.options else seller.options
        secret = 'secret = "env:SIM_KEY"' if seller.has_secret else ""
        return f"""
[models.{name}]
unknown_policy = "{seller.policy}"
[endpoints.{name}]
adapter = "{adapter}"
url = "{self.url}{seller.path}"
{secret}
{f'price_usd = "{programs.PRICE_USD}"' if seller.price_nano_usd else ""}
timeout_s = 60
{own}
[scopes.{name}]
concurrency = {seller.concurrency}
[[routes]]
model = "{name}"
endpoint = "{name}"
"""


class Market:
    """Sellers that are open, each at an address of its own."""

    def __init__(self, folder: pathlib.Path, kinds: Mapping[str, type[server.Twin]]) -> None:
        self._folder = folder
        self._kinds = kinds
        self._stack = contextlib.ExitStack()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.stalls: dict[str, Stall] = {}
        self.twins: dict[str, server.Twin] = {}

    def open(self, name: str) -> Stall:
        """Open a seller; a second call gives the same."""
        if name not in self.stalls:
            seller = SELLERS[name]
            self.stalls[name] = self._twin(seller) if seller.twin else self._simulator(seller)
        return self.stalls[name]

    def close(self) -> None:
        """Close them all."""
        self._stack.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(programs.WAIT_S)

    def _twin(self, seller: Seller) -> Stall:
        path = self._folder / f"{seller.name}.jsonl"
        given = options.Options(
            ledger=path,
            plan=faults.Plan(seed=SEED, latency_s=seller.latency_s),
            api_key=programs.API_KEY,
            webhook_secret=programs.WEBHOOK_SECRET,
        )
        made = self._kinds.get(seller.name, registry.load(seller.twin))(given)
        self.twins[seller.name] = made
        numbers = _noting(made)
        running = server.Running(made)
        self._done(running.__aenter__())
        self._stack.callback(lambda: self._done(running.__aexit__(None, None, None)))
        return Stall(seller, url=running.url, book=lambda: _read(path, numbers))

    def _simulator(self, seller: Seller) -> Stall:
        made = self._stack.enter_context(
            harness.simulator(self._folder / seller.name, latency_ms=seller.latency_s * 1_000, **{"class": seller.kind})
        )
        return Stall(
            seller,
            url=made.url,
            book=lambda: [Payment(subject=str(paid.data["seed"]), at_s=0.0, ends_at_s=0.0) for paid in made.paid()],
        )

    def _done(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(programs.WAIT_S)


def _noting(twin: server.Twin) -> dict[str, str]:
    """Note which purchase each paid request was for: the books of some vendors know it by its digest only."""
    numbers: dict[str, str] = {}
    fault_key = twin.fault_key

    def noting(call: calls.Call) -> str:
        found = NUMBER.search(call.body)
        if found is not None:
            numbers[call.digest] = found[1].decode()
        return fault_key(call)

    twin.fault_key = noting  # type: ignore[method-assign]
    return numbers


def _read(path: pathlib.Path, numbers: Mapping[str, str]) -> list[Payment]:
    books = ledger.read(path)
    return [
        Payment(
            subject=numbers.get(each.digest) or (each.client_reference or each.digest),
            at_s=each.at_s,
            ends_at_s=each.at_s + each.fate.latency_s,
        )
        for each in books.paid
        if each.id not in books.refunded_at_s
    ]


@contextlib.contextmanager
def market(folder: pathlib.Path, **kinds: type[server.Twin]) -> Iterator[Market]:
    """Give a market and close it afterwards. ``kinds``: twins to use in the place of the known ones."""
    made = Market(folder, kinds)
    try:
        yield made
    finally:
        made.close()
