-- Purpose: fold what workers posted into the scorecards, which fade by half in %(half_life_s)s seconds, and into the counts of running canaries.
-- Caller: engine.routing, the leader, every few seconds.
-- Rows: deletes score_delta, upserts score, updates canary; reads endpoint and route. Locks: score -> canary rows, which only the leader and
--   operators write. The places of counts are core.policy.scorecard's: 1 tried, 2 ok, 5 throttled.
-- What has faded to next to nothing is 0: PostgreSQL refuses a product that underflows, and no card would ever be folded again.
-- Nothing matches: nobody has called anything; nothing is written.
with moment as materialized (
  select clock_timestamp() as now
), folded as (
  delete from heddle_score_delta returning endpoint_id, model, counts, latency, queue, at
), told as materialized (
  select f.* from folded f where f.endpoint_id in (select id from heddle_endpoint)
), element as (
  select t.endpoint_id, t.model, p.part, u.place, sum(u.value) as value
  from told t
  cross join lateral (values (1, t.counts), (2, t.latency), (3, t.queue)) as p (part, numbers)
  cross join lateral unnest(p.numbers) with ordinality as u (value, place)
  group by t.endpoint_id, t.model, p.part, u.place
), summed as materialized (
  select endpoint_id, model, array_agg(value order by place) filter (where part = 1) as counts,
    array_agg(value order by place) filter (where part = 2) as latency, array_agg(value order by place) filter (where part = 3) as queue
  from element group by endpoint_id, model
), written as (
  insert into heddle_score as o (endpoint_id, model, counts, latency, queue, at)
  select s.endpoint_id, s.model, s.counts, s.latency, s.queue, now from summed s cross join moment
  on conflict (endpoint_id, model) do update set
    counts = (select array_agg(coalesce(u.new, 0) + case when u.old > 1e-9 then u.old else 0 end
        * exp(-least(500, ln(2) * extract(epoch from excluded.at - o.at) / %(half_life_s)s)::float8) order by u.place)
      from unnest(o.counts, excluded.counts) with ordinality as u (old, new, place)),
    latency = (select array_agg(coalesce(u.new, 0) + case when u.old > 1e-9 then u.old else 0 end
        * exp(-least(500, ln(2) * extract(epoch from excluded.at - o.at) / %(half_life_s)s)::float8) order by u.place)
      from unnest(o.latency, excluded.latency) with ordinality as u (old, new, place)),
    queue = (select array_agg(coalesce(u.new, 0) + case when u.old > 1e-9 then u.old else 0 end
        * exp(-least(500, ln(2) * extract(epoch from excluded.at - o.at) / %(half_life_s)s)::float8) order by u.place)
      from unnest(o.queue, excluded.queue) with ordinality as u (old, new, place)),
    at = excluded.at
  returning 1
), seen as materialized (
  select c.model, c.endpoint_id,
    sum(t.counts[1] - t.counts[5]) filter (where t.endpoint_id = c.endpoint_id) as tried,
    sum(t.counts[1] - t.counts[5] - t.counts[2]) filter (where t.endpoint_id = c.endpoint_id) as bad,
    sum(t.counts[1] - t.counts[5]) filter (where t.endpoint_id <> c.endpoint_id) as baseline_tried,
    sum(t.counts[1] - t.counts[5] - t.counts[2]) filter (where t.endpoint_id <> c.endpoint_id) as baseline_bad
  from heddle_canary c
  join heddle_route h on h.model = c.model and h.endpoint_id = c.endpoint_id
  join told t on t.model = c.model and t.at >= c.started_at
  join heddle_route r on r.model = t.model and r.endpoint_id = t.endpoint_id and r.tier = h.tier
  where c.state = 'running'
  group by c.model, c.endpoint_id
), counted as (
  update heddle_canary c set
    tried = c.tried + coalesce(s.tried, 0)::bigint,
    bad = c.bad + coalesce(s.bad, 0)::bigint,
    baseline_tried = c.baseline_tried + coalesce(s.baseline_tried, 0)::bigint,
    baseline_bad = c.baseline_bad + coalesce(s.baseline_bad, 0)::bigint
  from seen s
  where c.model = s.model and c.endpoint_id = s.endpoint_id and c.state = 'running'
)
select count(*)::int as written from written
