-- Purpose: tell in how many seconds the next webhook event is due; below 0: it is. Caller: engine.deliver, every worker.
-- Rows: reads outbox. Index: heddle_outbox_due. Locks: none. Nothing matches: null, nobody is to be told anything.
select extract(epoch from min(next_at) - clock_timestamp())::float8 from heddle_outbox where state = 'due'
