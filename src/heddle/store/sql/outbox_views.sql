-- Purpose: show webhook events of a tenant, those of the newest runs first. Caller: operators. Rows: reads outbox. Locks: none.
-- Indexes: heddle_outbox_tenant; its key when a run is named. Bounded by limit.
select run_id, seq, type, url, state, tries, at, case when state = 'due' then next_at end as next_at, last_at, last_status, last_error, ended_at
from heddle_outbox
where tenant_id = %(tenant_id)s
  and (%(run_id)s::uuid is null or run_id = %(run_id)s::uuid)
  and (%(seq)s::int is null or seq = %(seq)s::int)
  and (%(state)s::text is null or state = %(state)s::text)
  and (%(before_run)s::uuid is null or (run_id, seq) < (%(before_run)s::uuid, %(before_seq)s::int))
order by run_id desc, seq desc
limit %(limit)s
