-- Waits at most this long for a lock that claims hold, and others at most this long behind it; `heddle migrate` tries again.
set local lock_timeout = '2s';

-- A local step that succeeds at once leaves no attempt row: the step says who ran it and since when.
alter table heddle_step add column started_at timestamptz, add column worker_id bigint;

create or replace view heddle_attempt_view as
  select run_id::text || '.' || ordinal || '.' || number as id, run_id, ordinal, number, endpoint_id, state, handle, fault, cost_nano_usd,
    started_at, sent_at, finished_at
  from heddle_attempt
  union all
  select s.run_id::text || '.' || s.ordinal || '.1', s.run_id, s.ordinal, 1, null, 'done', null, null, null, s.started_at, null, s.finished_at
  from heddle_step s
  where s.kind = 'step' and s.state = 'succeeded' and s.attempts = 1 and s.started_at is not null
    and not exists (select 1 from heddle_attempt t where t.run_id = s.run_id and t.ordinal = s.ordinal);
