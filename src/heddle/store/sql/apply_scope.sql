-- Purpose: upsert the limits of a scope; its state is never touched. Caller: store.apply. Rows: limit_state. Index: its name. Locks: that row.
insert into heddle_limit_state as s (name, concurrency, requests_per_min, requests_burst) values (%(name)s, %(concurrency)s, %(rpm)s, %(burst)s)
on conflict (name) do update set concurrency = excluded.concurrency, requests_per_min = excluded.requests_per_min,
  requests_burst = excluded.requests_burst
where (s.concurrency, s.requests_per_min, s.requests_burst)
  is distinct from (excluded.concurrency, excluded.requests_per_min, excluded.requests_burst)
