"""Starts the simulated provider: `python -m heddle.providers.simulator.server --ledger FILE --seed N`.

This module reads the command line, puts ledger, desk, callbacks and HTTP face together, listens on loopback only and
ends on SIGTERM or SIGINT. `heddle up` starts it as a child process; tests call `Simulator` directly. The two secrets
come from the environment, so that no process list shows them.
"""

import argparse
import asyncio
import contextlib
import decimal
import logging
import os
import pathlib
import signal
import sys
import time
import typing
from collections import abc
from dataclasses import dataclass, fields, replace

from aiohttp import web

from heddle.core import attempt
from heddle.providers.simulator import callbacks, desk, fates, jobs_api, ledger, signing

HOST = "127.0.0.1"
API_KEY_VARIABLE = "HEDDLE_SIMULATOR_API_KEY"
WEBHOOK_SECRET_VARIABLE = "HEDDLE_SIMULATOR_WEBHOOK_SECRET"  # noqa: S105  the name of a variable
CONCURRENCY_MAX = 10_000
SHUTDOWN_TIMEOUT_S = 2.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Everything a simulator is started with. port 0 is any free one; port_file is where the chosen one is written."""

    port: int
    port_file: pathlib.Path | None
    ledger: pathlib.Path
    terms: desk.Terms
    plan: fates.Plan
    api_key: str
    webhook_secret: bytes


class Simulator:
    """A running simulator; `async with Simulator(options=…) as simulator` listens until the block ends."""

    def __init__(self, *, options: Options, now_s: abc.Callable[[], float] = time.time) -> None:
        self._options = options
        self._now_s = now_s
        self._stack = contextlib.AsyncExitStack()
        self.base_url = ""

    async def __aenter__(self) -> typing.Self:
        """Restore the jobs of the ledger and listen. Raises OSError or ledger.LedgerDamaged."""
        options = self._options
        async with contextlib.AsyncExitStack() as stack:
            book = ledger.Ledger(path=options.ledger)
            stack.push_async_callback(book.close)
            book.start()
            sender = callbacks.Callbacks(plan=options.plan, secret=options.webhook_secret, now_s=self._now_s)
            await sender.start()
            stack.push_async_callback(sender.close)
            counter = desk.Desk(plan=options.plan, terms=options.terms, book=book, sender=sender, now_s=self._now_s)
            stack.push_async_callback(counter.close)
            face = jobs_api.JobsApi(counter=counter, api_key=options.api_key)
            stack.callback(face.close)
            runner = web.AppRunner(face.application(), access_log=None, shutdown_timeout=SHUTDOWN_TIMEOUT_S)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            site = web.TCPSite(runner, HOST, options.port)
            await site.start()
            port = runner.addresses[0][1]
            self.base_url = counter.base_url = f"http://{HOST}:{port}"
            counter.restore(ledger.read(options.ledger))
            if options.port_file is not None:
                _write_port(options.port_file, port)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop listening and close the ledger."""
        await self._stack.aclose()


def main(arguments: abc.Sequence[str] | None = None) -> int:
    """Run a simulator until it is told to stop; returns the exit code."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s simulator %(levelname)s %(message)s")
    try:
        options = parse_options(arguments, environment=os.environ)
    except ValueError as error:
        logger.error("%s", error)
        return 2
    asyncio.run(_serve(options))
    return 0


def parse_options(arguments: abc.Sequence[str] | None, *, environment: abc.Mapping[str, str]) -> Options:
    """Read command line and environment. Raises ValueError with a sentence that names the option; exits on --help."""
    given = _parser().parse_args(arguments)
    api_key = environment.get(API_KEY_VARIABLE, "")
    if not api_key:
        raise ValueError(f"Set {API_KEY_VARIABLE} to the key customers must send.")
    if WEBHOOK_SECRET_VARIABLE not in environment:
        raise ValueError(f"Set {WEBHOOK_SECRET_VARIABLE} to a whsec_ secret: `whsec_` and base64 of 24 to 64 bytes.")
    if not 1 <= given.concurrency <= CONCURRENCY_MAX:
        raise ValueError(f"--concurrency must be from 1 to {CONCURRENCY_MAX}.")
    rates = fates.spread_evenly(fault_rate=given.fault_rate, callback_fault_rate=given.callback_fault_rate)
    return Options(
        port=given.port,
        port_file=given.port_file,
        ledger=given.ledger,
        terms=desk.Terms(
            idempotency=attempt.IdempotencyClass(given.idempotency_class),
            concurrency=given.concurrency,
            price_nano_usd=_nano_usd(given.price_usd),
        ),
        plan=fates.Plan(
            seed=given.seed,
            rates=replace(rates, **_overrides(given.rate)),
            latency_s=given.latency_ms / 1_000,
            late_s=given.late_ms / 1_000,
            slow_factor=given.slow_factor,
        ),
        api_key=api_key,
        webhook_secret=signing.parse_secret(environment[WEBHOOK_SECRET_VARIABLE]),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m heddle.providers.simulator.server", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes any free one")
    parser.add_argument("--port-file", type=pathlib.Path, help="file the chosen port is written to once listening")
    parser.add_argument("--ledger", type=pathlib.Path, required=True, help="file of paid jobs; restored from at start")
    parser.add_argument("--seed", type=int, default=0, help="the same seed repeats the same latencies and faults")
    parser.add_argument("--class", dest="idempotency_class", choices=("A", "B", "C"), default="A")
    parser.add_argument("--concurrency", type=int, default=30, help="jobs open at once; 429 above")
    parser.add_argument("--price-usd", default="0.04", help="price of a job, a decimal number")
    parser.add_argument("--latency-ms", type=float, default=1_500, help="median time of a job")
    parser.add_argument("--slow-factor", type=float, default=6.0, help="how many times longer a slow job takes")
    parser.add_argument("--late-ms", type=float, default=5_000, help="how much later a late callback comes")
    parser.add_argument(
        "--fault-rate", type=float, default=0.0, help="spread over throttled, server_error, cut, failed, slow"
    )
    parser.add_argument(
        "--callback-fault-rate", type=float, default=0.0, help="spread over lost, duplicated, late, forged"
    )
    names = ", ".join(field.name for field in fields(fates.Rates))
    parser.add_argument("--rate", action="append", default=[], metavar="NAME=SHARE", help=f"set one rate of: {names}")
    return parser


def _overrides(pairs: abc.Sequence[str]) -> dict[str, float]:
    names = {field.name for field in fields(fates.Rates)}
    overrides: dict[str, float] = {}
    for pair in pairs:
        name, _, share = pair.partition("=")
        if name not in names:
            raise ValueError(f"--rate {pair}: {name!r} is not a rate; they are {', '.join(sorted(names))}.")
        try:
            overrides[name] = float(share)
        except ValueError as error:
            raise ValueError(f"--rate {pair}: {share!r} is not a number from 0 to 1.") from error
    return overrides


def _nano_usd(text: str) -> int:
    try:
        amount = decimal.Decimal(text) * 10**9
    except decimal.InvalidOperation as error:
        raise ValueError(f"--price-usd {text!r} is not a decimal number.") from error
    if amount != amount.to_integral_value() or not 0 <= amount <= 10**15:
        raise ValueError("--price-usd must be from 0 to 1000000 with at most nine decimals.")
    return int(amount)


def _write_port(path: pathlib.Path, port: int) -> None:
    """Write the port so that a reader sees all of it or nothing."""
    draft = path.with_name(path.name + ".new")
    draft.write_text(f"{port}\n")
    draft.replace(path)


async def _serve(options: Options) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with Simulator(options=options) as simulator:
        logger.info("class %s, listening on %s", options.terms.idempotency.value, simulator.base_url)
        await stopping.wait()


if __name__ == "__main__":
    sys.exit(main())
