-- Waits at most this long for a lock that claims hold, and others at most this long behind it; `heddle migrate` tries again.
set local lock_timeout = '2s';

-- Runs that go on as others: `continued_from` and `continued_as` link neighbours, `chain_first` names the first of them (null: it is the
-- first), which alone keeps `chain_last`; `chain_number` counts from 1 (null: 1). `cap_run` names the run above a child whose cap on cost
-- the child's calls are held to. Nullable columns without a default: no row is rewritten.
alter table heddle_run
  add column continued_from uuid,
  add column continued_as uuid,
  add column chain_first uuid,
  add column chain_last uuid,
  add column chain_number integer,
  add column cap_run uuid;

-- What is to be started at which times. A row per schedule; who fires it holds its lock and moves `next_at` in the same transaction.
create table heddle_schedule (
  name text primary key,
  tenant_id integer not null references heddle_tenant (id),
  workflow text not null,
  input jsonb not null,
  cron text not null,
  time_zone text not null,
  catch_up text not null check (catch_up in ('skip', 'last', 'all')),
  catch_up_max integer not null check (catch_up_max between 1 and 1000),
  priority text not null check (priority in ('interactive', 'standard', 'batch')),
  deadline_s double precision,
  max_cost_nano_usd bigint,
  labels jsonb not null default '{}',
  is_enabled boolean not null default true,
  paused_at timestamptz,
  next_at timestamptz not null,
  last_at timestamptz,
  last_run uuid,
  fired bigint not null default 0,
  missed bigint not null default 0,
  problem text,
  updated_at timestamptz not null default now()
) with (fillfactor = 50);
create index heddle_schedule_next on heddle_schedule (next_at) where is_enabled and paused_at is null;
