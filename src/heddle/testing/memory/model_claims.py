"""Take model calls: claim_model, each for exactly one endpoint with room in all its scopes.

Calls are chosen by count, then weighed: an endpoint takes its calls in order up to the first whose tokens or images do
not fit, and a retry beyond its budget is parked. Neighbours: limits says how much room endpoints have, claims is fair.
"""

import dataclasses
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from heddle.core.policy import price
from heddle.testing.memory import claims, deployed, folding, limits
from heddle.testing.memory import tables as tables_module
from heddle.testing.memory.tables import ReadyRow, Rows, Statement, StepRow, Tables


@dataclasses.dataclass(slots=True, kw_only=True)
class _Span:
    """Say which turns of a model's ready calls of one rule go to an endpoint: those after ``low``, up to ``high``."""

    endpoint_id: int
    tier: int
    low: int
    high: int


@dataclasses.dataclass(slots=True, kw_only=True)
class _Call:
    """Hold one chosen call, with what it weighs."""

    row: ReadyRow
    model: str
    endpoint_id: int
    tier: int
    place: int
    step: StepRow | None = None
    tokens: int = 0
    images: int = 0
    is_parked: bool = False

    @property
    def is_retry(self) -> bool:
        return self.step is not None and self.step.attempts > self.step.attempts_before


def claim_model(
    tables: Tables,
    *,
    worker: int,
    claim_id: uuid.UUID,
    lanes: Sequence[int],
    models: Sequence[str],
    shares: Sequence[float],
    want: int,
    endpoints: int,
    send_window_s: float,
    tenants: int,
    governed_s: float,
    **law: float,
) -> Rows:
    """Take model calls."""
    busy = [
        (lane, model, share)
        for lane, model, share in zip(lanes, models, shares, strict=True)
        if lane in tables.ready and not _is_paused(tables, model)
    ]
    usable = limits.usable(tables, {model for _, model, _ in busy})
    picked = limits.picked(tables, usable, most=endpoints)
    roomed = {
        scope_id: folding.fold(tables, tables.scopes[scope_id], law)
        for scope_id in sorted({scope_id for endpoint in picked for scope_id in endpoint.scope_ids})
    }
    opened = limits.opened(picked, roomed, want=want, governed_s=governed_s)
    spans = _spans(tables, usable, opened)
    looked: list[claims.Queue] = []
    by_model: dict[str, list[claims.Ranked]] = {}
    for lane, model, share in busy:
        caps_of = {rule: min(found[-1].high, want) for (each, rule), found in spans.items() if each == model}
        if caps_of:
            queues = claims.queues_of(
                tables, lane, model, share, cap=want, tenants=tenants, is_local=False, caps_of=caps_of
            )
            looked += queues
            by_model.setdefault(model, []).extend(claims.ranked(tables, queues))
    taken, short = _fitting(tables, _route(tables, by_model, spans, opened, want=want), opened)
    tables.remove_ready([call.row for call in taken])
    claims.charge(tables, looked, [call.row for call in taken], free=[call.row for call in taken if call.is_parked])
    rows: Rows = []
    spent = {
        scope_id: folding.Spent(probe_s=item.endpoint.timeout_s + send_window_s, is_short=item.endpoint.id in short)
        for item in opened.values()
        for scope_id in item.endpoint.scope_ids
    }
    for call in taken:
        found = _send(tables, call, opened[call.endpoint_id], worker=worker, claim_id=claim_id, window_s=send_window_s)
        if found is not None:
            rows.append(found)
            _spend(call, [spent[scope_id] for scope_id in tables.endpoints[call.endpoint_id].scope_ids])
    for scope_id, item in roomed.items():
        folding.write(item, law, spent.get(scope_id, folding.NOTHING_SPENT))
    return rows


def _is_paused(tables: Tables, model: str) -> bool:
    found = tables.models.get(model)
    return found is not None and found.paused_at is not None


def _spans(
    tables: Tables, usable: Sequence[limits.Usable], opened: Mapping[int, limits.Open]
) -> dict[tuple[str, int], list[_Span]]:
    """Lay the endpoints of each model and rule end to end, in order of tier and a weighted draw."""
    drawn: dict[tuple[str, int], list[tuple[int, float, int]]] = {}
    for rule, route in usable:
        if route.endpoint_id in opened:
            draw = tables.rng.expovariate(1.0) / route.weight_in_force
            drawn.setdefault((route.model, rule), []).append((route.tier, draw, route.endpoint_id))
    spans: dict[tuple[str, int], list[_Span]] = {}
    for (model, rule), places in drawn.items():
        low, first = 0, min(route.tier for route in limits.ways(tables, {model}) if rule in route.rules)
        for tier, _, endpoint_id in sorted(places):
            high = low + opened[endpoint_id].room
            span = _Span(endpoint_id=endpoint_id, tier=tier - first, low=low, high=high)
            spans.setdefault((model, rule), []).append(span)
            low = high
    return spans


def _route(
    tables: Tables,
    by_model: Mapping[str, list[claims.Ranked]],
    spans: Mapping[tuple[str, int], list[_Span]],
    opened: Mapping[int, limits.Open],
    *,
    want: int,
) -> list[_Call]:
    """Give each chosen entry its endpoint; an endpoint that serves several models never gets more than its room."""
    routed: list[_Call] = []
    for model, items in by_model.items():
        items.sort(key=lambda item: item.turn)
        places: dict[int, int] = {}
        for place, item in enumerate(items, start=1):
            rule = tables.tenants[item.queue.tenant_id].rule
            turn = places[rule] = places.get(rule, 0) + 1
            found = next((span for span in spans[model, rule] if span.low < turn <= span.high), None)
            if found is not None:
                routed.append(
                    _Call(row=item.row, model=model, endpoint_id=found.endpoint_id, tier=found.tier, place=place)
                )
    routed.sort(key=lambda call: (call.place, call.row.seq))
    used: dict[int, int] = {}
    chosen: list[_Call] = []
    for call in routed:
        if len(chosen) < want and used.get(call.endpoint_id, 0) < opened[call.endpoint_id].room:
            used[call.endpoint_id] = used.get(call.endpoint_id, 0) + 1
            chosen.append(call)
    return chosen


def _fitting(
    tables: Tables, chosen: Sequence[_Call], opened: Mapping[int, limits.Open]
) -> tuple[list[_Call], set[int]]:
    """Weigh calls; give those that fit into what their endpoints have left, and the endpoints that are short of it."""
    retries: dict[int, int] = {}
    tokens: dict[int, int] = {}
    images: dict[int, int] = {}
    taken: list[_Call] = []
    short: set[int] = set()
    for call in chosen:
        where, each = opened[call.endpoint_id], call.endpoint_id
        _weigh(tables, call, where)
        retries[each] = retries.get(each, 0) + int(call.is_retry)
        call.is_parked = call.is_retry and where.retries_left is not None and retries[each] > where.retries_left
        tokens[each] = tokens.get(each, 0) + (0 if call.is_parked else call.tokens)
        images[each] = images.get(each, 0) + (0 if call.is_parked else call.images)
        is_fitting = _fits(tokens[each], call.tokens, where.tokens_left, is_whole=where.is_tokens_whole) and _fits(
            images[each], call.images, where.images_left, is_whole=where.is_images_whole
        )
        if is_fitting:
            taken.append(call)
        else:
            short.add(each)
    return taken, short


def _fits(sum_: int, own: int, left: int | None, *, is_whole: bool) -> bool:
    """Tell whether a call fits; one larger than the bucket goes alone, when that is full."""
    return left is None or sum_ <= left or (sum_ == own and is_whole)


def _weigh(tables: Tables, call: _Call, where: limits.Open) -> None:
    step = tables.step(call.row.run_id, call.row.ordinal)
    if step is None or step.state != "due":
        return
    call.step = step
    options, model = step.options or {}, tables.models.get(call.model)
    if where.tokens_left is not None:
        known = (options.get("tokens"), None if model is None else model.tokens, where.tokens_mean, 1)
        call.tokens = next(int(value) for value in known if value is not None)
    if where.images_left is not None:
        known = (options.get("images"), None if model is None else model.images, 1, 1)
        call.images = next(int(value) for value in known if value is not None)


def _spend(call: _Call, scopes: Sequence[folding.Spent]) -> None:
    if call.is_parked:
        return
    for spent in scopes:
        spent.taken += 1
        spent.tokens += call.tokens
        spent.images += call.images
        spent.first_tries += int(not call.is_retry)
        spent.retries += int(call.is_retry)


def _send(
    tables: Tables, call: _Call, where: limits.Open, *, worker: int, claim_id: uuid.UUID, window_s: float
) -> tuple[Any, ...] | None:
    """Lease a call that still is due and in time, with slot and attempt; one that is parked has neither."""
    step = call.step
    if step is None or not claims.is_in_time(tables, tables.runs[step.run_id]):
        return None
    number = step.attempts + 1
    price_nano_usd = None if call.is_parked else _price(tables, step, call.model, call.endpoint_id)
    row = claims.lease(
        tables,
        call.row,
        "send",
        worker=worker,
        claim_id=claim_id,
        number=number,
        endpoint_id=call.endpoint_id,
        tier=call.tier,
        price_nano_usd=price_nano_usd,
        is_parked=call.is_parked,
    )
    if row is None or call.is_parked:
        return row
    key, now = (step.run_id, step.ordinal), tables.now_s()
    assert key not in tables.slots, f"call {key} holds a slot before it is claimed"
    assert number not in step.tries, f"attempt {number} of call {key} is new"
    tables.slots[key] = deployed.SlotRow(
        endpoint_id=call.endpoint_id, epochs=where.epochs, tokens=call.tokens, images=call.images
    )
    step.tries[number] = tables_module.AttemptRow(
        number=number,
        endpoint_id=call.endpoint_id,
        worker_id=worker,
        fence=row[2],
        state="reserved",
        price_nano_usd=price_nano_usd,
        started_at=now,
        send_by=now + window_s,
        tier=call.tier,
        primary_price_nano_usd=_first_price(tables, step, call.model) if call.tier > 0 else None,
    )
    return row


def _first_price(tables: Tables, step: StepRow, model: str) -> int:
    routes = [route for route in tables.routes if route.model == model]
    first = min(routes, key=lambda route: (route.tier, -route.weight, route.endpoint_id))
    return _price(tables, step, model, first.endpoint_id)


def _price(tables: Tables, step: StepRow, model: str, endpoint_id: int) -> int:
    """Give the route's price for what the call says it uses, where the route has one, else the endpoint's."""
    route = next(route for route in tables.routes if (route.model, route.endpoint_id) == (model, endpoint_id))
    if route.price_nano_usd is None:
        return tables.endpoints[endpoint_id].price_nano_usd
    asked, row = step.options or {}, tables.models.get(model) or deployed.ModelRow(name=model)
    usual = price.estimated(tokens=row.tokens, output_tokens=row.output_tokens, images=row.images)
    own = price.estimated(
        tokens=asked.get("tokens", row.tokens),
        output_tokens=row.output_tokens,
        images=asked.get("images", row.images),
    )
    return price.of_call(price.Expected(nano_usd=route.price_nano_usd, rates=route.rates), usage=usual, own=own)


STATEMENTS: dict[str, Statement] = {"claim_model": claim_model}
