-- Purpose: remove idempotency keys, inbox rows and pointers to results past their time, in small batches. Caller: engine.sweep, the leader.
-- Rows: deletes idempotency, inbox and result. Indexes: their times. Locks: the rows it deletes.
with old_keys as (
  delete from heddle_idempotency i using (
    select tenant_id, operation, key from heddle_idempotency
    where created_at < clock_timestamp() - make_interval(hours => %(hours)s) order by created_at limit %(limit)s
  ) o
  where i.tenant_id = o.tenant_id and i.operation = o.operation and i.key = o.key
  returning 1
), old_events as (
  delete from heddle_inbox i using (
    select endpoint_id, event_id from heddle_inbox
    where at < clock_timestamp() - make_interval(hours => %(hours)s) order by at limit %(limit)s
  ) o
  where i.endpoint_id = o.endpoint_id and i.event_id = o.event_id
  returning 1
), old_results as (
  delete from heddle_result r using (
    select tenant_id, key from heddle_result where until < clock_timestamp() order by until limit %(limit)s
  ) o
  where r.tenant_id = o.tenant_id and r.key = o.key
  returning 1
)
select (select count(*) from old_keys)::int + (select count(*) from old_events)::int + (select count(*) from old_results)::int as removed
