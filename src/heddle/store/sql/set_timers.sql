-- Purpose: arm timers for steps that have just begun. Caller: engine.schedule. Rows: timer. Locks: run (held). Index: timer's key.
insert into heddle_timer (run_id, ordinal, kind, due_at)
select t.run_id, t.ordinal, t.kind, clock_timestamp() + make_interval(secs => t.delay_s)
from unnest(%(runs)s::uuid[], %(ordinals)s::int[], %(kinds)s::text[], %(delays)s::float8[]) as t (run_id, ordinal, kind, delay_s)
on conflict (run_id, ordinal, kind) do update set due_at = excluded.due_at
