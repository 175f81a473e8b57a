-- Purpose: show the attempts of a run. Caller: doors' steps. Rows: reads attempt, endpoint, worker. Indexes: keys. Locks: none.
select a.ordinal, a.number, e.name as endpoint, w.name as worker, a.state, a.handle, a.fault, a.cost_nano_usd, a.started_at, a.sent_at, a.finished_at
from heddle_attempt a
left join heddle_endpoint e on e.id = a.endpoint_id
left join heddle_worker w on w.id = a.worker_id
where a.run_id = %(run_id)s
order by a.ordinal, a.number
