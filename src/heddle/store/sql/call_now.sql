-- Purpose: lease model calls to the worker that is admitting them, and make the intent of paid ones durable, in the commit of the admission: what
--   claim_model and mark_sending would come to, where nobody is ahead of them and nothing stands in their way (docs/adr/0038).
-- Caller: engine.calls, after idempotency_take and before new_runs in the same transaction; new_runs puts no call in line that is leased.
-- Rows: locks limit_state and takes slots and rates there; inserts lease, slot, attempt ('sending', or 'reserved' where it costs nothing) and ledger;
--   reads tenant, model, workflow, lineage, idempotency, ready, route, endpoint and limit_delta without a lock.
-- Only the plain case is taken, and everything else is left to new_runs, claim_model and mark_sending: no call of the model is in line in any class;
--   no budget is to be asked; the endpoint drawn by weight from the model's first tier is one that the worker knows, open in all its scopes, with
--   more room there than the calls need; and what has been told since the last fold, `deltas_max` reports at most, is nothing but calls that went
--   well. Slots that were let go count only after a fold, so a claim has its turn when they seem used up.
-- A delta is never subtracted here: one that was folded meanwhile would count twice. What is owed for tokens is added.
-- Locks: limit rows by id. It waits for them, since they are held for milliseconds and a claim takes longer; `lock_timeout` bounds each wait,
--   and that of the rest of the transaction: 55P03, and the caller admits without it. What is read besides may be older than the rows that were
--   waited for: a report that was folded meanwhile is then owed once more, which leaves less room and never more.
-- Indexes: keys, ready's and limit_delta's. Nothing matches: no row comes back.
with bound as materialized (
  select set_config('lock_timeout', %(lock_timeout)s, true)
), moment as materialized (
  select clock_timestamp() as now
), n as materialized (
  select n.*, t.rule, coalesce(n.asked_tokens, m.tokens) as known_tokens, coalesce(n.asked_images, m.images, 1) as known_images,
    m.tokens as usual_tokens, m.output_tokens, m.images as usual_images
  from unnest(
    %(ids)s::uuid[], %(tenants)s::int[], %(workflows)s::text[], %(models)s::text[], %(lanes)s::bigint[], %(operations)s::text[], %(keys)s::text[],
    %(digests)s::text[], %(tokens)s::bigint[], %(images)s::bigint[]
  ) as n (id, tenant_id, workflow, model, lane, operation, key, digest, asked_tokens, asked_images)
  cross join bound
  join heddle_tenant t on t.id = n.tenant_id
  left join heddle_model m on m.name = n.model
  where t.paused_at is null and m.paused_at is null and t.budget_nano_usd_per_day is null and t.budget_nano_usd_per_month is null
    and not exists (select 1 from heddle_workflow f where f.name = n.workflow and f.budget_nano_usd_per_day is not null)
    and not exists (select 1 from heddle_lineage g where g.sending_paused_at is not null)
    and not exists (
      select 1 from unnest(%(line_models)s::text[], %(line_lanes)s::bigint[]) as a (model, lane)
      where a.model = n.model and (select true from heddle_ready y where y.lane = a.lane limit 1))
    and (n.key is null or (
      select true from heddle_idempotency i
      where i.tenant_id = n.tenant_id and i.operation = n.operation and i.key = n.key and i.run_id = n.id limit 1))
), drawn as materialized (
  select n.*, w.endpoint_id, w.scope_ids, w.price, (%(paid)s::boolean[])[array_position(%(endpoints)s::int[], w.endpoint_id)] as is_paid
  from n
  cross join lateral (
    select r.endpoint_id, e.scope_ids, coalesce(
-- include: list_price
      , e.price_nano_usd) as price, e.is_enabled and e.paused_at is null as is_open
    from heddle_route r join heddle_endpoint e on e.id = r.endpoint_id
    cross join (select n.asked_images as own_images, n.asked_tokens as own_tokens, n.usual_images, n.usual_tokens, n.output_tokens) u
    where r.model = n.model and n.rule = any(r.rules) and coalesce(r.weight_now, r.weight) > 0
    order by r.tier, -ln(1 - random()) / coalesce(r.weight_now, r.weight)
    limit 1
  ) w
  where w.is_open and w.endpoint_id = any(%(endpoints)s::int[])
), scope as materialized (
  select s.id, s.concurrency, s.in_flight, s.breaker_epoch, s.tokens_used, s.tokens_calls,
    array[s.requests_per_min, s.tokens_per_min, s.images_per_min] as rates, array[s.requests_burst, s.tokens_burst, s.images_burst] as bursts,
    array[s.tat, s.tokens_tat, s.images_tat] as tats
  from heddle_limit_state s
  where s.id in (select unnest(scope_ids) from drawn)
    and s.breaker = 'closed' and s.failures_in_row = 0 and s.full_since is null
    and coalesce(s.closed_at < clock_timestamp() - make_interval(secs => %(ramp_s)s), true)
    and coalesce(greatest(s.paused_until, s.frozen_until) <= clock_timestamp(), true)
    and coalesce(s.requests_told_until <= clock_timestamp() or s.requests_told >= s.requests_per_min, s.requests_told_until is null)
    and coalesce(s.tokens_told_until <= clock_timestamp() or s.tokens_told >= s.tokens_per_min, s.tokens_told_until is null)
    and coalesce(s.images_told_until <= clock_timestamp() or s.images_told >= s.images_per_min, s.images_told_until is null)
  order by s.id
  for no key update
), calm as materialized (
  select s.*, coalesce(d.tokens, 0) as tokens_owed, coalesce(d.images, 0) as images_owed
  from scope s
  cross join lateral (
    select count(*) as reports, sum(greatest(d.tokens, 0)) as tokens, sum(greatest(d.images, 0)) as images,
      bool_or(d.failed > 0 or d.throttled > 0 or d.frozen_until is not null or d.empty_until is not null
        or d.dimension is not null and not coalesce(
          coalesce(d.limit_per_min >= s.rates[d.dimension], s.rates[d.dimension] is not null)
            and coalesce(d.remaining >= s.bursts[d.dimension], true), false)) as is_news
    from (select * from heddle_limit_delta d where d.scope_id = s.id limit %(deltas_max)s + 1) d
  ) d
  where d.reports <= %(deltas_max)s and not coalesce(d.is_news, false)
), weighed as materialized (
  select d.*,
    case when w.has_tokens then coalesce(d.known_tokens, w.tokens_mean, 1) else 0 end as tokens,
    case when w.has_images then d.known_images else 0 end as images
  from drawn d
  cross join lateral (
    select count(*) as found, bool_or(s.rates[2] is not null) as has_tokens, bool_or(s.rates[3] is not null) as has_images,
      max(ceil(s.tokens_used::float8 / nullif(s.tokens_calls, 0)))::bigint as tokens_mean
    from calm s where s.id = any(d.scope_ids)
  ) w
  where w.found = cardinality(d.scope_ids)
), wanted as materialized (
  select u.scope_id, count(*) as calls, sum(w.tokens) as tokens, sum(w.images) as images
  from weighed w cross join lateral unnest(w.scope_ids) as u (scope_id)
  group by u.scope_id
), roomy as materialized (
  select s.id, s.breaker_epoch
  from wanted w
  join calm s on s.id = w.scope_id
  cross join moment
  where coalesce(s.concurrency > s.in_flight + w.calls, true) and not exists (
    select 1 from unnest(array[w.calls, w.tokens, w.images], array[0, s.tokens_owed, s.images_owed], s.rates, s.bursts, s.tats)
      as b (units, owed, rate, burst, tat)
    where b.rate is not null
      and floor(b.burst - b.owed - greatest(0, extract(epoch from b.tat - now))::float8 * b.rate / 60.0 + 1e-6) <= b.units)
), taken as materialized (
  select w.*, nextval('heddle_fence_seq') as fence
  from weighed w
  where cardinality(w.scope_ids) = (select count(*) from roomy r where r.id = any(w.scope_ids))
), limited as (
  update heddle_limit_state s set
    in_flight = s.in_flight + u.calls,
    tat = case when s.requests_per_min is not null then greatest(s.tat, now) + make_interval(secs => 60.0 * u.calls / s.requests_per_min)
      else s.tat end,
    tokens_tat = case when u.tokens > 0 then greatest(s.tokens_tat, now) + make_interval(secs => 60.0 * u.tokens / s.tokens_per_min)
      else s.tokens_tat end,
    images_tat = case when u.images > 0 then greatest(s.images_tat, now) + make_interval(secs => 60.0 * u.images / s.images_per_min)
      else s.images_tat end,
    first_tries = s.first_tries + u.calls
  from (
    select u.scope_id, count(*)::int as calls, sum(t.tokens)::bigint as tokens, sum(t.images)::bigint as images
    from taken t cross join lateral unnest(t.scope_ids) as u (scope_id)
    group by u.scope_id
  ) u
  cross join moment
  where s.id = u.scope_id
), leased as (
  insert into heddle_lease (run_id, ordinal, worker_id, fence, claim_id, number, lane, tenant_id, endpoint_id, purpose, claimed_at)
  select id, 1, %(worker)s, fence, %(claim_id)s, 1, lane, tenant_id, endpoint_id, 'send', now from taken cross join moment
), slotted as (
  insert into heddle_slot (run_id, ordinal, endpoint_id, taken_at, epochs, tokens, images)
  select t.id, 1, t.endpoint_id, now, array(
      select r.breaker_epoch from unnest(t.scope_ids) with ordinality as u (scope_id, place) join roomy r on r.id = u.scope_id order by u.place
    ), t.tokens, t.images
  from taken t cross join moment
), tried as (
  insert into heddle_attempt (run_id, ordinal, number, endpoint_id, worker_id, fence, state, request_digest, price_nano_usd, started_at, send_by,
    sent_at, tier)
  select id, 1, 1, endpoint_id, %(worker)s, fence, case when is_paid then 'sending' else 'reserved' end, case when is_paid then digest end, price,
    now, now + make_interval(secs => %(send_window_s)s), case when is_paid then now end, 0
  from taken cross join moment
), reserved as (
  insert into heddle_ledger (at, tenant_id, run_id, ordinal, number, endpoint_id, kind, amount_nano_usd, day, workflow, model)
  select now, tenant_id, id, 1, 1, endpoint_id, 'reserve', coalesce(price, 0), (now at time zone 'UTC')::date, workflow, model
  from taken cross join moment
  where is_paid
)
select id, fence, endpoint_id, is_paid, price from taken
