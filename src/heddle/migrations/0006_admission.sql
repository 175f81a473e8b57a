-- Waits at most this long for a lock that claims hold, and others at most this long behind it; `heddle migrate` tries again.
set local lock_timeout = '2s';

-- What a tenant may take: accepted runs in any minute, and runs that are not over.
alter table heddle_tenant add column runs_per_min integer check (runs_per_min > 0);
alter table heddle_tenant add column open_runs_max integer check (open_runs_max > 0);

-- How long work waits and how fast it goes: one row a lane, written by the leader, read by the doors and by `why`.
create table heddle_load (
  lane bigint primary key,
  kind text not null,
  name text not null,
  version integer not null,
  priority text not null,
  queued integer not null default 0,
  drained_per_s double precision not null default 0,
  busy_s double precision not null default 0,
  tenants jsonb not null default '{}',
  rest jsonb,
  workflows text[] not null default '{}',
  blocked_at timestamptz,
  held_mean_s double precision,
  held_square_s2 double precision,
  held_count double precision not null default 0,
  at timestamptz not null
) with (fillfactor = 50);
-- What workers took and ended since the leader last looked: they only insert, the leader folds.
create table heddle_load_delta (
  lane bigint not null,
  kind text not null,
  name text not null,
  version integer not null,
  priority text not null,
  taken integer not null,
  ended integer not null,
  held_s double precision not null,
  held_s2 double precision not null,
  at timestamptz not null default clock_timestamp()
) with (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);

-- Runs of tenants with a bound on open runs, from their admission until the sweep sees that they are over.
create table heddle_open_run (
  tenant_id integer not null,
  run_id uuid not null,
  primary key (tenant_id, run_id)
) with (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);

-- What tenants with a budget have spent on one day (UTC), and the paid calls of it that are not over.
create table heddle_budget_day (
  tenant_id integer not null,
  day date not null,
  spent_nano_usd bigint not null default 0 check (spent_nano_usd >= 0),
  primary key (tenant_id, day)
) with (fillfactor = 50);
create table heddle_budget_call (
  tenant_id integer not null,
  day date not null,
  run_id uuid not null,
  ordinal integer not null,
  number integer not null,
  primary key (tenant_id, day, run_id, ordinal, number)
) with (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
