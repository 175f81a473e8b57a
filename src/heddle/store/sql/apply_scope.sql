-- Purpose: upsert the limits of a scope; its state is never touched, but an adaptive concurrency is kept within its new bounds.
-- Caller: store.apply. Rows: limit_state. Index: its name. Locks: that row.
insert into heddle_limit_state as s (name, concurrency, concurrency_min, concurrency_max, requests_per_min, requests_burst, tokens_per_min,
  tokens_burst, images_per_min, images_burst)
values (%(name)s, coalesce(%(concurrency)s::int, %(floor)s::int), %(floor)s::int, %(ceiling)s::int, %(requests)s, %(requests_burst)s,
  %(tokens)s::bigint, %(tokens_burst)s, %(images)s::bigint, %(images_burst)s)
on conflict (name) do update set
  concurrency = case when excluded.concurrency_max is null then excluded.concurrency
    else least(excluded.concurrency_max, greatest(excluded.concurrency_min, coalesce(s.concurrency, excluded.concurrency_min))) end,
  concurrency_min = excluded.concurrency_min, concurrency_max = excluded.concurrency_max,
  requests_per_min = excluded.requests_per_min, requests_burst = excluded.requests_burst,
  tokens_per_min = excluded.tokens_per_min, tokens_burst = excluded.tokens_burst,
  images_per_min = excluded.images_per_min, images_burst = excluded.images_burst
where s.concurrency_max is distinct from excluded.concurrency_max
  or (excluded.concurrency_max is null and s.concurrency is distinct from excluded.concurrency)
  or (s.concurrency_min, s.requests_per_min, s.requests_burst, s.tokens_per_min, s.tokens_burst, s.images_per_min, s.images_burst)
  is distinct from (excluded.concurrency_min, excluded.requests_per_min, excluded.requests_burst, excluded.tokens_per_min,
    excluded.tokens_burst, excluded.images_per_min, excluded.images_burst)
