-- Waits at most this long for a lock that claims hold, and others at most this long behind it; `heddle migrate` tries again.
set local lock_timeout = '2s';

-- Which call's result equal calls take: a pointer, since the result stays where it is, in its step. Tenant 0 stands for all tenants.
create table heddle_result (
  tenant_id integer not null,
  key text not null check (key ~ '^[0-9a-f]{64}$'),
  run_id uuid not null,
  ordinal integer not null,
  until timestamptz not null,
  primary key (tenant_id, key)
) with (fillfactor = 70);
create index heddle_result_until on heddle_result (until);
