-- Purpose: write how webhook receivers are: failures in a row, and until when nothing is sent there. Caller: engine.deliver, after outbox_write
--   in the same transaction. Rows: receiver. Locks: its rows, by key. Index: its key.
-- A pause that another answer asked for is not shortened, also not by one that is well: it was on its way already.
insert into heddle_receiver (tenant_id, receiver, failures, hold_until, at)
select w.tenant_id, w.receiver, w.failures, clock_timestamp() + make_interval(secs => w.hold_s), clock_timestamp()
from unnest(%(tenants)s::int[], %(addresses)s::text[], %(failures)s::int[], %(holds)s::float8[]) as w (tenant_id, receiver, failures, hold_s)
order by w.tenant_id, w.receiver
on conflict (tenant_id, receiver) do update set
  failures = excluded.failures,
  hold_until = greatest(heddle_receiver.hold_until, excluded.hold_until),
  probe_until = null,
  at = excluded.at
