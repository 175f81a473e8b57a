"""Read what a twin is started with: the arguments of ``heddle twin`` and two variables of the environment.

Pure but for ``argparse``; no server is needed to print the help. Secrets come from the environment, so that no process
list shows them. Before it: a person, a script or a test. After it: ``server``.
"""

import argparse
import base64
import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

from heddle.providers import signing
from heddle.twins.kit import faults

API_KEY_VARIABLE = "HEDDLE_TWIN_API_KEY"
WEBHOOK_SECRET_VARIABLE = "HEDDLE_TWIN_WEBHOOK_SECRET"  # noqa: S105  the name of a variable
DEFAULT_API_KEY = "twin-key"
DEFAULT_WEBHOOK_SECRET = signing.SECRET_PREFIX + base64.b64encode(b"the webhook secret of every twin").decode()
RATE_NAMES = tuple(each.name for each in fields(faults.Rates))


class OptionsRefused(ValueError):
    """Say which option of a twin is wrong and what it may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Everything a twin is started with. port 0 is any free one; port_file is where the chosen one is written.

    is_scenic: pictures are drawn to be looked at.
    """

    ledger: pathlib.Path
    plan: faults.Plan = field(default_factory=faults.Plan)
    port: int = 0
    port_file: pathlib.Path | None = None
    api_key: str = DEFAULT_API_KEY
    webhook_secret: str = DEFAULT_WEBHOOK_SECRET
    is_scenic: bool = False


def add_arguments(parser: argparse.ArgumentParser, *, names: Sequence[str]) -> None:
    """Add the arguments of ``heddle twin`` to a parser; names are the known twins."""
    plan = faults.Plan()
    parser.add_argument("name", choices=names, help=f"whose twin: {', '.join(names)}")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes any free one (default: 0)")
    parser.add_argument("--port-file", metavar="FILE", help="where the chosen port is written once it listens")
    parser.add_argument("--ledger", metavar="FILE", required=True, help="file of payments; jobs are restored from it")
    parser.add_argument(
        "--seed", type=int, default=plan.seed, help="what latencies and faults derive from (default: 0)"
    )
    parser.add_argument(
        "--rate",
        action="append",
        default=[],
        metavar="NAME=SHARE",
        help=f"how often a fault happens, from 0 to 1; repeatable. Names: {', '.join(RATE_NAMES)}",
    )
    parser.add_argument(
        "--fault-rate", type=float, default=0.0, help="spread over throttled, server_error, cut, failed, slow"
    )
    parser.add_argument(
        "--callback-fault-rate", type=float, default=0.0, help="spread over callbacks lost, duplicated, late, forged"
    )
    parser.add_argument(
        "--latency-ms", type=float, default=plan.latency_s * 1_000, help="median time of a job (default: 1000)"
    )
    parser.add_argument(
        "--slow-factor", type=float, default=plan.slow_factor, help="how many times longer a slow job takes"
    )
    parser.add_argument(
        "--late-ms", type=float, default=plan.late_s * 1_000, help="how much later a late callback comes"
    )
    parser.add_argument(
        "--storm-s", type=float, default=plan.storm_s, help="throttling comes in storms of so many seconds (default: 0)"
    )
    parser.add_argument(
        "--cut-at", type=int, default=plan.cut_at_bytes, metavar="BYTES", help="bytes of an answer before its cut"
    )
    parser.add_argument(
        "--scenes", action="store_true", help="pictures are sets for products, to look at; needs heddle[demo]"
    )


def read(given: argparse.Namespace, *, environment: Mapping[str, str]) -> Options:
    """Turn parsed arguments and the environment into options. Raises OptionsRefused."""
    secret = environment.get(WEBHOOK_SECRET_VARIABLE) or DEFAULT_WEBHOOK_SECRET
    try:
        signing.key(secret)
        rates = faults.spread_evenly(fault_rate=given.fault_rate, callback_fault_rate=given.callback_fault_rate)
        plan = faults.Plan(
            seed=given.seed,
            rates=replace(rates, **_shares(given.rate)),
            latency_s=given.latency_ms / 1_000,
            slow_factor=given.slow_factor,
            late_s=given.late_ms / 1_000,
            storm_s=given.storm_s,
            cut_at_bytes=given.cut_at,
        )
    except signing.SecretMalformed as error:
        raise OptionsRefused(f"{WEBHOOK_SECRET_VARIABLE} cannot be used: {error}") from None
    except ValueError as error:
        raise OptionsRefused(str(error)) from None
    return Options(
        ledger=pathlib.Path(given.ledger),
        plan=plan,
        port=given.port,
        port_file=pathlib.Path(given.port_file) if given.port_file else None,
        api_key=environment.get(API_KEY_VARIABLE) or DEFAULT_API_KEY,
        webhook_secret=secret,
        is_scenic=given.scenes,
    )


def _shares(pairs: Sequence[str]) -> dict[str, float]:
    shares: dict[str, float] = {}
    for pair in pairs:
        name, _, share = pair.partition("=")
        if name not in RATE_NAMES:
            raise ValueError(f"--rate {pair}: {name!r} is not a rate; they are {', '.join(RATE_NAMES)}.")
        try:
            shares[name] = float(share)
        except ValueError as error:
            raise ValueError(f"--rate {pair}: {share!r} is not a number from 0 to 1.") from error
    return shares
