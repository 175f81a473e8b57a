-- Purpose: lease due webhook events, a few of each receiver, so that one which hangs or has a long line delays nobody else's.
-- Caller: engine.deliver, every worker. Looks at the receivers behind (after_tenant, after_address) one by one, `receivers` at most; the caller
--   goes on from the last one in its next look.
-- Rows: reads receiver, webhook_disabled, webhook_secret, run, step, tenant; updates outbox, receiver (the lease of its probe).
-- Locks in order: outbox (skip locked), then receiver (skip locked): waits for nobody. Indexes: heddle_outbox_receiver, keys.
-- A receiver that is left alone gives nothing; one with `failures_max` failures gives one event, its probe.
-- An end of a run waits until nobody has to be told of the ends before it, so that whoever acts on the last one told acts on the last one.
-- Nothing matches: one row whose events are null.
with recursive moment as materialized (
  select clock_timestamp() as now
), looked (tenant_id, receiver, place) as (
  (select o.tenant_id, o.receiver, 1 from heddle_outbox o
    where o.state = 'due' and (o.tenant_id, o.receiver) > (%(after_tenant)s::int, %(after_address)s::text)
    order by o.tenant_id, o.receiver limit 1)
  union all
  select n.tenant_id, n.receiver, k.place + 1
  from looked k
  cross join lateral (
    select o.tenant_id, o.receiver from heddle_outbox o
    where o.state = 'due' and (o.tenant_id, o.receiver) > (k.tenant_id, k.receiver)
    order by o.tenant_id, o.receiver limit 1
  ) n
  where k.place < %(receivers)s::int
), roomed as materialized (
  select k.tenant_id, k.receiver, coalesce(h.failures, 0) as failures,
    case when coalesce(h.failures, 0) >= %(failures_max)s::int then 1 else %(receiver_max)s::int end - coalesce(b.held, 0) as room
  from looked k
  cross join moment
  left join heddle_receiver h on h.tenant_id = k.tenant_id and h.receiver = k.receiver
  left join unnest(%(busy_tenants)s::int[], %(busy_addresses)s::text[], %(busy_counts)s::int[]) as b (tenant_id, receiver, held)
    on b.tenant_id = k.tenant_id and b.receiver = k.receiver
  where (h.hold_until is null or h.hold_until <= now) and (h.probe_until is null or h.probe_until <= now)
), found as materialized (
  select r.tenant_id, r.receiver, r.failures, e.run_id, e.seq, e.next_at,
    row_number() over (partition by r.tenant_id, r.receiver order by e.next_at, e.run_id, e.seq) as place
  from roomed r
  cross join moment
  cross join lateral (
    select o.run_id, o.seq, o.next_at from heddle_outbox o
    where o.state = 'due' and o.tenant_id = r.tenant_id and o.receiver = r.receiver and o.next_at <= now
      and (select true from heddle_outbox p where p.run_id = o.run_id and p.seq < o.seq and p.state = 'due' limit 1) is null
    order by o.next_at limit r.room
    for no key update skip locked
  ) e
  where r.room > 0
), turned as materialized (
  select f.*, row_number() over (partition by f.failures > 0 order by f.place, f.next_at, f.run_id, f.seq) as turn from found f
), probing as materialized (
  select h.tenant_id, h.receiver from heddle_receiver h
  where h.failures >= %(failures_max)s::int and exists (select 1 from turned t
    where t.tenant_id = h.tenant_id and t.receiver = h.receiver and t.turn <= %(want_failing)s::int)
  order by h.tenant_id, h.receiver
  for no key update skip locked
), chosen as materialized (
  select t.* from turned t
  where t.turn <= case when t.failures > 0 then %(want_failing)s::int else %(want)s::int end
    and (t.failures < %(failures_max)s::int or exists (select 1 from probing p where p.tenant_id = t.tenant_id and p.receiver = t.receiver))
  order by t.failures > 0, t.turn
  limit %(want)s
), probed as (
  update heddle_receiver h set probe_until = now + make_interval(secs => %(lease_s)s)
  from chosen c cross join moment
  where c.failures >= %(failures_max)s::int and h.tenant_id = c.tenant_id and h.receiver = c.receiver
), taken as (
  update heddle_outbox o set fence = o.fence + 1, next_at = now + make_interval(secs => %(lease_s)s)
  from chosen c cross join moment
  where o.run_id = c.run_id and o.seq = c.seq
  returning o.run_id, o.seq, o.fence, o.tenant_id, o.receiver, o.url, o.type, o.at, o.tries, o.body, c.failures
)
select
  (select json_agg(json_build_array(t.run_id, t.seq, t.fence, t.tenant_id, t.receiver, t.url, t.type, extract(epoch from t.at)::float8, t.tries,
      t.failures, t.body,
      exists (select 1 from heddle_webhook_disabled g where g.tenant_id = t.tenant_id and g.url = t.url),
      (select json_agg(json_build_array(s.version, s.salt) order by s.version desc) from heddle_webhook_secret s
        where s.tenant_id = t.tenant_id and (s.retires_at is null or s.retires_at > now)),
      (select json_build_array(coalesce(r.chain_first, r.id), coalesce(octet_length(r.shape::text), 0) + coalesce((
          select sum(octet_length(o.output::text)) from heddle_step o where o.run_id = r.id and o.ordinal = any(r.refs)), 0),
          (select n.name from heddle_tenant n where n.id = t.tenant_id))
        from heddle_run r where t.body is null and r.id = t.run_id))
    order by t.run_id, t.seq) from taken t cross join moment) as events,
  (select json_build_array(tenant_id, receiver) from looked where place = %(receivers)s::int) as last
