-- Purpose: write what became of webhook events that were sent, or put off. Caller: engine.deliver.
-- Rows: updates outbox. Locks: its rows, by key. Index: its key.
-- A worker whose lease was lost writes only that an event was delivered: the receiver has it, whoever sent it.
-- Written again, since nobody knew whether it was written, it changes nothing: the fence has moved on.
-- Nothing matches: somebody else has it, or it is over.
with moment as materialized (
  select clock_timestamp() as now
), w as materialized (
  select * from unnest(
    %(run_ids)s::uuid[], %(seqs)s::int[], %(fences)s::bigint[], %(states)s::text[], %(delays)s::float8[], %(tried)s::boolean[],
    %(statuses)s::int[], %(errors)s::text[], %(bodies)s::text[]
  ) as w (run_id, seq, fence, state, delay_s, is_try, status, error, body)
), held as materialized (
  select o.run_id, o.seq
  from (select w.run_id, w.seq, w.fence, w.state from w order by w.run_id, w.seq) w
  cross join lateral (
    select o.run_id, o.seq from heddle_outbox o
    where o.run_id = w.run_id and o.seq = w.seq and o.state = 'due' and (o.fence = w.fence or w.state = 'delivered')
    for no key update
  ) o
)
update heddle_outbox o set
  state = w.state,
  fence = o.fence + 1,
  tries = o.tries + case when w.is_try then 1 else 0 end,
  next_at = case when w.state = 'due' then now + make_interval(secs => w.delay_s) else o.next_at end,
  last_at = case when w.is_try then now else o.last_at end,
  last_status = case when w.is_try then w.status else o.last_status end,
  last_error = case when w.is_try or w.error is not null then w.error else o.last_error end,
  body = coalesce(o.body, w.body),
  ended_at = case when w.state <> 'due' then now end
from held h join w on w.run_id = h.run_id and w.seq = h.seq cross join moment
where o.run_id = h.run_id and o.seq = h.seq
returning o.run_id
