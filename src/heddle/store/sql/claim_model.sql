-- Purpose: take model calls, each for exactly one endpoint with room in all its scopes.
-- Caller: engine.claim, autocommit. Waits for nothing.
-- Rows: locks limit_state of at most claim_endpoints endpoints, folds and deletes their limit_delta (parts/fold), deletes ready, inserts lease,
--   slot and attempt ('reserved'), upserts lane_tenant, writes the scopes back (parts/limit); reads route, endpoint, model, run and step
--   without a lock.
-- Locks in order: limit rows by id (skip locked: an endpoint counts only when every scope of its was locked); advisory (lane, tenant) tried;
--   ready; lease. Endpoints that share a scope with one drawn before them are left to the next claim, so no scope is spent twice.
-- Room: calls are chosen by count first; then each is weighed (its tokens and images, whether it is a retry), and an endpoint takes its calls
--   in order up to the first that does not fit, so that small calls never starve a large one. One larger than the bucket goes when that is full.
-- A retry beyond the retry budget of its endpoint is `parked`: leased without slot or attempt, for its worker to put off (engine.settle).
-- A breaker that blocks and an operator's pause close an endpoint: the next tier serves at once. Slots, rates and a provider's Retry-After make
--   it full: the next tier serves after fallback_after_s.
-- Fairness, ctids and laterals: as in claim_local. Indexes: ready's key, limit_delta's scope, limit_state's key.
-- Weights: what the leader found (weight_now), else the file's; a route of weight 0 is as if it were not there.
-- Regions: a tenant's are a numbered rule, and a route lists the rules it may serve; each rule has its own row of endpoints (`span`).
-- Deadlines: as in claim_local.
-- Price: of the route for what its model says a call uses; of a route that goes by a list, for what the call says itself (core.policy.price).
-- Paused (heddle_model, heddle_endpoint, heddle_tenant; all sending after a restore): as if it had no work or no room.
-- Nothing matches: no row comes back; deltas of locked scopes are folded all the same.
with recursive moment as materialized (
  select clock_timestamp() as now
), wanted as materialized (
  select * from unnest(%(lanes)s::bigint[], %(models)s::text[], %(shares)s::float8[]) as w (lane, model, share)
), busy as materialized (
  select w.* from wanted w where (select true from heddle_ready y where y.lane = w.lane limit 1)
    and not exists (select 1 from heddle_model p where p.name = w.model and p.paused_at is not null)
    and not exists (select 1 from heddle_lineage g where g.sending_paused_at is not null)
), way as materialized (
  select r.model, r.endpoint_id, r.tier, coalesce(r.weight_now, r.weight) as weight, r.rules
  from heddle_route r
  where (select count(*) from busy) > 0 and r.model in (select model from busy) and coalesce(r.weight_now, r.weight) > 0
), standing as materialized (
  select e.id, e.scope_ids, e.timeout_s, e.is_enabled and e.paused_at is null and not bool_or(
      coalesce(s.paused_until > now, false) or (s.breaker = 'open' and s.open_until > now)
      or (s.breaker = 'half_open' and coalesce(s.probe_until > now, false) and not coalesce(d.has_news, false))
    ) as is_open,
    bool_or(coalesce(s.concurrency <= s.in_flight - coalesce(d.released, 0), false)
      or coalesce(greatest(s.frozen_until, d.frozen_until) > now, false) or coalesce(b.is_empty, false)) as is_full,
    min(s.full_since) as full_since
  from (
    select e.id, e.scope_ids, e.timeout_s, e.is_enabled, e.paused_at from heddle_endpoint e
    where e.id in (select endpoint_id from way) offset 0
  ) e
  join heddle_limit_state s on s.id = any(e.scope_ids)
  cross join moment
  cross join lateral (
    select sum(d.released) as released, max(d.frozen_until) as frozen_until,
      bool_or(d.epoch = s.breaker_epoch and d.ok + d.failed + d.silent > 0) as has_news
    from heddle_limit_delta d
    where d.scope_id = s.id
  ) d
  cross join lateral (
    select bool_or(b.tat > now + make_interval(secs => (case when r.rate = b.own then b.burst else 1 + r.rate / 120 end - 1) * 60.0 / r.rate))
      as is_empty
    from (values (s.requests_per_min::bigint, s.requests_burst::bigint, s.tat, s.requests_told, s.requests_told_until),
      (s.tokens_per_min, s.tokens_burst, s.tokens_tat, s.tokens_told, s.tokens_told_until),
      (s.images_per_min, s.images_burst, s.images_tat, s.images_told, s.images_told_until)) as b (own, burst, tat, told, told_until)
    cross join lateral (select case when b.told_until > now then least(b.own, b.told) else b.own end as rate) r
  ) b
  group by e.id, e.scope_ids, e.timeout_s, e.is_enabled, e.paused_at
), usable as materialized (
  select r.model, r.rule, r.endpoint_id, r.tier, r.weight
  from (
    select r.model, u.rule, r.endpoint_id, r.tier, r.weight, x.is_open and not x.is_full as has_room, min(r.tier) filter (
      where x.is_open and not (x.is_full and coalesce(x.full_since < now - make_interval(secs => coalesce(m.fallback_after_s, 30)), false))
    ) over (partition by r.model, u.rule) as serving_tier
    from way r
    cross join lateral unnest(r.rules) as u (rule)
    join standing x on x.id = r.endpoint_id
    left join heddle_model m on m.name = r.model
    cross join moment
  ) r
  where r.has_room and r.tier = r.serving_tier
), drawn as materialized (
  select u.id, x.scope_ids, row_number() over (order by random()) as place
  from (select distinct endpoint_id as id from usable) u
  join standing x using (id)
), picked as materialized (
  select d.id, d.scope_ids from drawn d
  where not exists (select 1 from drawn o where o.place < d.place and o.scope_ids && d.scope_ids)
  order by d.place
  limit %(endpoints)s
), scope as materialized (
  select s.* from heddle_limit_state s
  where s.id in (select unnest(p.scope_ids) from picked p)
  order by s.id
  for no key update skip locked
),
-- include: fold
, open_endpoint as materialized (
  select p.id, p.scope_ids, x.timeout_s, least(min(r.room), %(want)s)::int as room,
    min(r.tokens_left) as tokens_left, bool_and(coalesce(r.tokens_whole, true)) as is_tokens_whole,
    min(r.images_left) as images_left, bool_and(coalesce(r.images_whole, true)) as is_images_whole,
    min(case when r.governed_at > r.now - make_interval(secs => %(governed_s)s::float8) then greatest(0, r.retries_upto - r.retries) end) as retries_left,
    max(ceil(r.tokens_used::float8 / nullif(r.tokens_calls, 0)))::bigint as tokens_mean,
    array_agg(r.breaker_epoch + case when r.position <> r.breaker then 1 else 0 end order by u.place) as epochs
  from picked p
  join standing x using (id)
  cross join lateral unnest(p.scope_ids) with ordinality as u (scope_id, place)
  join roomed r on r.id = u.scope_id
  group by p.id, p.scope_ids, x.timeout_s
  having count(*) = cardinality(p.scope_ids) and min(r.room) > 0
), span as materialized (
  select u.model, u.rule, u.endpoint_id,
    u.tier - (select min(r.tier) from way r where r.model = u.model and u.rule = any(r.rules)) as tier,
    o.room, sum(o.room) over (partition by u.model, u.rule order by u.tier, u.draw, u.endpoint_id rows unbounded preceding) - o.room as low
  from (select *, -ln(1 - random()) / weight as draw from usable) u
  join open_endpoint o on o.id = u.endpoint_id
), total as materialized (
  select s.model, s.rule, count(*)::int as cap, array_agg(s.endpoint_id order by g.place) as endpoints, array_agg(s.tier order by g.place) as tiers,
    array_agg(s.room order by g.place) as rooms
  from span s cross join lateral generate_series(s.low + 1, least(s.low + s.room, %(want)s)) as g (place)
  group by s.model, s.rule
), walk (lane, tenant_id, n) as (
  select b.lane,
    (select y.tenant_id from heddle_ready y where y.lane = b.lane order by y.lane, y.tenant_id, y.seq limit 1), 1
  from busy b where b.model in (select model from total)
  union all
  select k.lane,
    (select y.tenant_id from heddle_ready y where y.lane = k.lane and y.tenant_id > k.tenant_id
     order by y.lane, y.tenant_id, y.seq limit 1), k.n + 1
  from walk k
  where k.tenant_id is not null and k.n < %(tenants)s
), backlog as materialized (
  select k.lane, k.tenant_id, t.weight, coalesce(l.v, 0) as v, coalesce(l.is_idle, true) as is_idle, b.model, b.share, o.rule, o.cap
  from walk k
  join busy b using (lane)
  join heddle_tenant t on t.id = k.tenant_id and t.paused_at is null
  join total o on o.model = b.model and o.rule = t.rule
  left join heddle_lane_tenant l on l.lane = k.lane and l.tenant_id = k.tenant_id
), started as materialized (
  select b.*, case when b.is_idle
    then greatest(b.v, coalesce(min(b.v) filter (where not b.is_idle) over (partition by b.lane), b.v)) else b.v end as start
  from backlog b
), head as materialized (
  select h.lane, h.tenant_id, h.weight, h.start, h.is_idle, h.model, h.rule, h.share, h.cap
  from (select s.*, row_number() over (partition by s.lane order by s.start, random()) as place from started s) h
  where h.place <= 16
  offset 0
), mine as materialized (
  select * from head where pg_try_advisory_xact_lock(hashint8extended(lane, tenant_id))
), item as materialized (
  select m.lane, m.tenant_id, m.weight, m.start, m.model, m.rule, m.share, m.cap, y.tid, y.seq, y.run_id, y.ordinal, y.at, y.k
  from mine m
  cross join lateral (
    select r.ctid as tid, r.seq, r.run_id, r.ordinal, r.at, row_number() over (order by r.seq) as k
    from heddle_ready r
    where r.lane = m.lane and r.tenant_id = m.tenant_id
    order by r.lane, r.tenant_id, r.seq
    limit m.cap + 1
  ) y
), ranked as (
  select i.*, row_number() over (partition by i.lane order by i.start + i.k::float8 / i.weight, i.seq) as lane_place from item i
), placed as materialized (
  select r.*, row_number() over (partition by r.model order by r.turn) as place,
    row_number() over (partition by r.model, r.rule order by r.turn) as rule_place
  from (select *, (lane_place - random()) / share as turn from ranked) r
), routed as materialized (
  select p.*, t.endpoints[p.rule_place] as endpoint_id, t.tiers[p.rule_place] as tier, t.rooms[p.rule_place] as room,
    row_number() over (partition by t.endpoints[p.rule_place] order by p.place, random()) as endpoint_place
  from placed p
  join total t on t.model = p.model and t.rule = p.rule
  where p.rule_place <= t.cap
), chosen as materialized (
  select q.* from routed q
  where q.endpoint_place <= q.room
  order by q.place, q.endpoint_place
  limit %(want)s
), weighed as materialized (
  select c.*, s.is_due, s.attempts, s.kind, s.name, s.version, s.input, s.options, s.state, s.attempts_before, s.epoch, s.crashes, s.parents,
    (s.options ->> 'tokens')::bigint as own_tokens, (s.options ->> 'images')::bigint as own_images,
    m.tokens as usual_tokens, m.output_tokens, m.images as usual_images, o.epochs, o.tokens_left, o.is_tokens_whole, o.images_left, o.is_images_whole, o.retries_left,
    coalesce(s.attempts > s.attempts_before, false) as is_retry,
    case when o.tokens_left is not null and s.is_due
      then coalesce((s.options ->> 'tokens')::bigint, m.tokens, o.tokens_mean, 1) else 0 end as tokens,
    case when o.images_left is not null and s.is_due then coalesce((s.options ->> 'images')::bigint, m.images, 1) else 0 end as images
  from chosen c
  join open_endpoint o on o.id = c.endpoint_id
  left join heddle_model m on m.name = c.model
  left join lateral (
    select true as is_due, s.* from heddle_step s where s.run_id = c.run_id and s.ordinal = c.ordinal and s.state = 'due' offset 0
  ) s on true
), budgeted as (
  select w.*, w.is_retry and coalesce(
      count(*) filter (where w.is_retry) over (partition by w.endpoint_id order by w.endpoint_place) > w.retries_left, false) as is_parked
  from weighed w
), packed as materialized (
  select p.*, coalesce(p.tokens_sum <= p.tokens_left or p.tokens_sum = p.tokens and p.is_tokens_whole, true)
    and coalesce(p.images_sum <= p.images_left or p.images_sum = p.images and p.is_images_whole, true) as is_fitting
  from (
    select b.*,
      sum(case when b.is_parked then 0 else b.tokens end) over (partition by b.endpoint_id order by b.endpoint_place) as tokens_sum,
      sum(case when b.is_parked then 0 else b.images end) over (partition by b.endpoint_id order by b.endpoint_place) as images_sum
    from budgeted b
  ) p
), gone as (
  delete from heddle_ready y
  where y.ctid = any(array(select tid from packed where is_fitting))
  returning y.seq
), taken as materialized (
  select p.* from packed p where p.is_fitting and p.seq = any(array(select seq from gone))
), charged as (
  insert into heddle_lane_tenant as l (lane, tenant_id, v, is_idle)
  select m.lane, m.tenant_id, m.start + coalesce(g.spent, 0)::float8 / m.weight,
    coalesce(g.taken, 0) = (select count(*) from item i where i.lane = m.lane and i.tenant_id = m.tenant_id)
  from mine m
  left join (
    select lane, tenant_id, count(*) as taken, count(*) filter (where not is_parked) as spent from taken group by lane, tenant_id
  ) g using (lane, tenant_id)
  where g.taken > 0 or m.is_idle
  on conflict (lane, tenant_id) do update set v = greatest(l.v, excluded.v), is_idle = excluded.is_idle
), found as materialized (
  select t.*, nextval('heddle_fence_seq') as fence, t.attempts + 1 as number,
    r.workflow, r.version as workflow_version, r.traceparent, r.deadline_at, r.priority
  from taken t
  cross join lateral (
    select r.workflow, r.version, r.traceparent, r.deadline_at, r.priority from heddle_run r
    where r.id = t.run_id and (r.deadline_at is null or r.deadline_at > clock_timestamp() or r.stopping is not null) offset 0
  ) r
  where t.is_due
), leased as (
  insert into heddle_lease (run_id, ordinal, worker_id, fence, claim_id, number, lane, tenant_id, endpoint_id, purpose, claimed_at)
  select f.run_id, f.ordinal, %(worker)s, f.fence, %(claim_id)s, f.number, f.lane, f.tenant_id, case when not f.is_parked then f.endpoint_id end,
    'send', clock_timestamp()
  from found f
  on conflict do nothing
  returning fence
), held as materialized (
  select f.*, p.price, p.first_price
  from found f
  left join lateral (
    select min(x.price) filter (where x.endpoint_id = f.endpoint_id) as price, min(x.price) filter (where x.endpoint_id <> f.endpoint_id) as first_price
    from (
      select r.endpoint_id, coalesce(
-- include: list_price
        , e.price_nano_usd) as price
      from heddle_route r join heddle_endpoint e on e.id = r.endpoint_id
      cross join (select f.own_images, f.own_tokens, f.usual_images, f.usual_tokens, f.output_tokens) u
      where r.model = f.model and r.endpoint_id = any(array[f.endpoint_id, case when f.tier > 0 then (
        select h.endpoint_id from heddle_route h where h.model = f.model order by h.tier, h.weight desc, h.endpoint_id limit 1) end])
    ) x
  ) p on not f.is_parked
  where f.fence = any(array(select fence from leased))
), slotted as (
  insert into heddle_slot (run_id, ordinal, endpoint_id, taken_at, epochs, tokens, images)
  select run_id, ordinal, endpoint_id, clock_timestamp(), epochs, tokens, images from held where not is_parked
), reserved as (
  insert into heddle_attempt (run_id, ordinal, number, endpoint_id, worker_id, fence, state, price_nano_usd, started_at, send_by, tier,
    primary_price_nano_usd)
  select h.run_id, h.ordinal, h.number, h.endpoint_id, %(worker)s, h.fence, 'reserved', h.price, clock_timestamp(),
    clock_timestamp() + make_interval(secs => %(send_window_s)s), h.tier, case when h.tier > 0 then h.first_price end
  from held h
  where not h.is_parked
), spent as materialized (
  select o.scope_id, coalesce(h.taken, 0)::int as taken, coalesce(h.tokens, 0)::bigint as tokens, coalesce(h.images, 0)::bigint as images,
    coalesce(h.first_tries, 0)::int as first_tries, coalesce(h.retries, 0)::int as retries, o.probe_s,
    exists (select 1 from packed k where k.endpoint_id = o.id and not k.is_fitting) as is_short
  from (
    select o.id, u.scope_id, (o.timeout_s + %(send_window_s)s)::float8 as probe_s
    from open_endpoint o cross join lateral unnest(o.scope_ids) as u (scope_id)
  ) o
  left join (
    select endpoint_id, count(*) as taken, sum(tokens) as tokens, sum(images) as images, count(*) filter (where not is_retry) as first_tries,
      count(*) filter (where is_retry) as retries
    from held
    where not is_parked
    group by endpoint_id
  ) h on h.endpoint_id = o.id
),
-- include: limit
select h.run_id, h.ordinal, h.fence, h.number, case when h.is_parked then 'park' else 'send' end as purpose, h.endpoint_id, h.tenant_id,
  h.kind, h.name, h.version, h.input, h.options, h.state, h.attempts_before, h.epoch, h.crashes,
  case when h.parents is not null then (select json_object_agg(p.ordinal, p.output) from heddle_step p
    where p.run_id = h.run_id and p.ordinal = any(h.parents)) end as outputs,
  h.workflow, h.workflow_version, h.traceparent,
  extract(epoch from h.deadline_at - clock_timestamp())::float8 as deadline_in_s, null::text as handle,
  null::float8 as unknown_for_s, 'reserved' as attempt_state, null::jsonb as result,
  h.priority, greatest(0, extract(epoch from clock_timestamp() - h.at))::float8 as waited_s, h.tier, h.price
from held h
