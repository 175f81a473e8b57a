-- Purpose: read what each scope did since it exists, what is not folded yet included. Caller: engine.govern, the leader.
-- What an operator set over the file does not adapt: it has neither floor nor ceiling until it is reset.
-- Rows: reads limit_state, limit_override, endpoint, limit_delta. Index: limit_delta's scope. Locks: none. Nothing matches: no endpoint is enabled.
select s.id, s.name, s.concurrency, case when s.concurrency_max is not null and not o.is_set then s.concurrency_min end,
  case when not o.is_set then s.concurrency_max end,
  greatest(0, s.in_flight - coalesce(d.released, 0))::int, s.full_since is not null, s.finished + coalesce(d.finished, 0)::bigint,
  s.finished_s + coalesce(d.finished_s, 0), s.throttled + coalesce(d.throttled, 0)::bigint, s.first_tries, s.retries
from heddle_limit_state s
cross join lateral (select exists (select 1 from heddle_limit_override v where v.scope_id = s.id) as is_set) o
cross join lateral (
  select sum(d.released) as released, sum(d.finished) as finished, sum(d.finished_s) as finished_s, sum(d.throttled) as throttled
  from heddle_limit_delta d where d.scope_id = s.id
) d
where exists (select 1 from heddle_endpoint e where e.is_enabled and s.id = any(e.scope_ids))
order by s.id
