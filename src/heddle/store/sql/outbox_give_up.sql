-- Purpose: give up webhook events that have been due for long without a try, since their receiver fails and is left alone between its probes: a line
--   that grows faster than it is probed would grow for ever, and keep the weeks of its runs. Caller: engine.deliver, the leader.
-- Rows: updates outbox; reads receiver. Locks: the rows it updates (skip locked). Indexes: heddle_outbox_due, receiver's key. Bounded: `limit`, those due for
--   the longest first. One that is being sent is not due. A receiver that nobody has heard from for an hour proves nothing: no worker delivered.
-- An end of a run that waited for the ends before it has its time from then on: the last one is what its customer acts on.
-- Nothing matches: every receiver has time for its events.
with late as materialized (
  select o.run_id, o.seq from heddle_outbox o
  where o.state = 'due' and o.next_at < clock_timestamp() - make_interval(secs => %(overdue_s)s)
    and exists (
      select 1 from heddle_receiver h
      where h.tenant_id = o.tenant_id and h.receiver = o.receiver and h.failures >= %(failures)s::int and h.at > clock_timestamp() - interval '1 hour')
    and not exists (
      select 1 from heddle_outbox p
      where p.run_id = o.run_id and p.seq < o.seq and (p.state = 'due' or p.ended_at > clock_timestamp() - make_interval(secs => %(overdue_s)s)))
  order by o.next_at
  limit %(limit)s
  for no key update of o skip locked
)
update heddle_outbox o set state = 'dead', fence = o.fence + 1, last_error = %(reason)s, ended_at = clock_timestamp()
from late l
where o.run_id = l.run_id and o.seq = l.seq
returning o.run_id, o.seq
