-- Purpose: find the attempt whose job a callback names, for providers that call one address for a whole account. Caller: doors' find_job.
-- Rows: reads endpoint, slot, attempt. Locks: none. Index: attempt's key; of slots, the endpoint's own are read through: its calls in flight.
-- Nothing matches: no row. The job is over, is not ours, or its handle is not committed yet; its poll learns of it all the same.
select a.run_id, a.ordinal, a.number
from heddle_endpoint e
join heddle_slot k on k.endpoint_id = e.id
join heddle_attempt a on a.run_id = k.run_id and a.ordinal = k.ordinal and a.endpoint_id = e.id
where e.name = %(endpoint)s and a.handle = %(handle)s
order by a.run_id desc, a.ordinal desc, a.number desc
limit 1
