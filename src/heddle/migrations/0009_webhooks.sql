-- Waits at most this long for a lock that claims hold, and others at most this long behind it; `heddle migrate` tries again.
set local lock_timeout = '2s';

-- What customers are told: one row for each event of a run that has a webhook_url, written by the transaction that ends the run.
-- A row that is being sent is `due` with `next_at` in the future, which is its lease; `fence` counts the takes. `body` is kept from the first
-- try on, so that a redelivery is the same to the byte. The receiver is scheme, host and port: what stands or falls together.
create table heddle_outbox (
  run_id uuid not null,
  seq integer not null,
  tenant_id integer not null,
  type text not null,
  url text not null,
  receiver text not null generated always as (coalesce(lower(substring(url from '^[a-zA-Z]+://[^/?#]+')), url)) stored,
  at timestamptz not null,
  body text,
  state text not null default 'due' constraint heddle_outbox_state check (state in ('due', 'delivered', 'dead', 'disabled')),
  tries integer not null default 0,
  fence bigint not null default 0,
  next_at timestamptz not null,
  last_at timestamptz,
  last_status integer,
  last_error text,
  ended_at timestamptz,
  primary key (run_id, seq)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
create index heddle_outbox_due on heddle_outbox (next_at) where state = 'due';
create index heddle_outbox_receiver on heddle_outbox (tenant_id, receiver, next_at) where state = 'due';
create index heddle_outbox_tenant on heddle_outbox (tenant_id, run_id, seq);
create index heddle_outbox_ended on heddle_outbox (ended_at) where state <> 'due';
create index heddle_outbox_lost on heddle_outbox (state, ended_at) where state in ('dead', 'disabled');

-- Receivers that fail or asked for a pause; one that is well has no row, or one without failures. `probe_until`: the lease of the probe
-- that is out to one that failed often.
create table heddle_receiver (
  tenant_id integer not null,
  receiver text not null,
  failures integer not null check (failures >= 0),
  hold_until timestamptz not null,
  probe_until timestamptz,
  at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, receiver)
) with (fillfactor = 50);

-- Addresses that said 410 Gone: nothing is sent there until somebody enables them again.
create table heddle_webhook_disabled (
  tenant_id integer not null,
  url text not null,
  reason text not null,
  at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, url)
);

-- Which signing secrets a tenant has. No secret is stored: each is derived from the installation's key, the tenant, the version and the salt.
create table heddle_webhook_secret (
  tenant_id integer not null,
  version integer not null check (version >= 1),
  salt uuid not null default gen_random_uuid(),
  created_at timestamptz not null default clock_timestamp(),
  retires_at timestamptz,
  primary key (tenant_id, version)
);
