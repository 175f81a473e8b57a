"""Draw where models run, under which limits, and how their providers behave."""

import random
from collections.abc import Iterable

from heddle.config import deployment
from heddle.core import attempt
from heddle.testing.simulation import provider
from tests.simulation import workflows

A, B, C = attempt.IdempotencyClass.A, attempt.IdempotencyClass.B, attempt.IdempotencyClass.C


def drawn(rng: random.Random) -> tuple[deployment.Deployment, dict[str, provider.Manners]]:
    """Draw where models run, under which limits, and how their providers behave."""

    def manners(idempotency: attempt.IdempotencyClass, *, is_job: bool, is_paid: bool = True) -> provider.Manners:
        return provider.Manners(
            idempotency=idempotency,
            is_job=is_job,
            is_paid=is_paid,
            price_nano_usd=workflows.PRICE_NANO_USD if is_paid else 0,
            work_most_s=rng.uniform(0.1, 3.0),
            refuse_rate=rng.choice((0.0, 0.05)),
            throttle_rate=rng.choice((0.0, 0.05)),
            fail_rate=rng.choice((0.0, 0.05)),
            deaf_rate=rng.choice((0.0, 0.05)),
            mute_rate=rng.choice((0.0, 0.05)),
            callback_rate=rng.choice((0.0, 0.5)),
        )

    found = {
        "one_a": manners(A, is_job=rng.random() < 0.5),
        "two_a": manners(A, is_job=rng.random() < 0.5),
        "one_b": manners(B, is_job=rng.random() < 0.5),
        "one_c": manners(C, is_job=rng.random() < 0.3),
        "free": manners(C, is_job=False, is_paid=False),
    }
    endpoints = {
        name: deployment.Endpoint(
            name=name,
            adapter="http",
            url="http://127.0.0.1:9/",
            scopes=(name, "account") if name.endswith("_a") else (name,),
            timeout_s=4.0,
            price_nano_usd=each.price_nano_usd,
        )
        for name, each in found.items()
    }
    scopes = _scopes(rng, found)
    routes = (
        deployment.Route(model="sim_paint_a", endpoint="one_a"),
        deployment.Route(model="sim_paint_a", endpoint="two_a", tier=rng.choice((0, 1))),
        deployment.Route(model="sim_paint_b", endpoint="one_b"),
        deployment.Route(model="sim_share_b", endpoint="one_b"),
        deployment.Route(model="sim_guess_c", endpoint="one_c"),
        deployment.Route(model="sim_guess_again_c", endpoint="one_c"),
        deployment.Route(model="sim_describe", endpoint="free"),
    )
    models = (
        deployment.Model(name="sim_guess_again_c", unknown_policy="at_least_once"),
        deployment.Model(name="sim_paint_a", fallback_after_s=1.0, tokens=300),
    )
    wanted = deployment.Deployment(
        models={model.name: model for model in models},
        endpoints=endpoints,
        scopes={scope.name: scope for scope in scopes},
        routes=routes,
        tenants={name: deployment.Tenant(name=name, weight=weight) for name, weight in (("acme", 1), ("zeta", 3))},
    )
    return wanted, found


def _scopes(rng: random.Random, names: Iterable[str]) -> list[deployment.Scope]:
    """Draw the limits of each endpoint, and of the account that two of them share."""
    slots = (1, 2, 3, 5, deployment.Adaptive(min=1, max=4))
    scopes = [deployment.Scope(name=name, concurrency=rng.choice(slots)) for name in names]
    scopes.append(
        deployment.Scope(
            name="account",
            concurrency=6,
            requests_per_min=rng.choice((None, 240)),
            tokens_per_min=rng.choice((None, 60_000)),
        )
    )
    return scopes
