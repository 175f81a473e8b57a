-- Waits at most this long for a lock that claims hold, and others at most this long behind it; `heddle migrate` tries again.
set local lock_timeout = '2s';

-- Where a tenant's calls may go: the regions it names are numbered as rules, and each route lists the rules it may serve (0: of no rule).
alter table heddle_tenant add column regions text[];
alter table heddle_tenant add column rule integer not null default 0;
alter table heddle_endpoint add column regions text[] not null default '{}';
alter table heddle_route add column rules integer[] not null default '{0}';

-- How traffic is shared within a tier: what the leader has found (null: the weight of the file; 0: nothing), and what it is to look for.
alter table heddle_route add column weight_now double precision check (weight_now >= 0);
alter table heddle_route add column is_canary boolean not null default false;
alter table heddle_route add column latency_max_s double precision check (latency_max_s > 0);
alter table heddle_model add column objective text not null default 'weights'
  check (objective in ('weights', 'cheapest', 'fastest', 'most_reliable'));
alter table heddle_model add column deadline_s double precision check (deadline_s > 0);
alter table heddle_model add column quality jsonb;

-- What calls of a model at an endpoint came to: one row each, written by the leader. Counts fade by half in a time the leader chooses.
create table heddle_score (
  endpoint_id integer not null references heddle_endpoint (id) on delete cascade,
  model text not null,
  counts double precision[] not null,
  latency double precision[] not null,
  queue double precision[] not null,
  at timestamptz not null,
  primary key (endpoint_id, model)
) with (fillfactor = 50);
-- What workers saw since the leader last looked: they only insert, the leader folds.
create table heddle_score_delta (
  endpoint_id integer not null,
  model text not null,
  counts double precision[] not null,
  latency double precision[] not null,
  queue double precision[] not null,
  at timestamptz not null default clock_timestamp()
) with (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);

-- Canaries: what an operator, or the leader, decided about one route over the file, until it is reset.
create table heddle_canary (
  model text not null,
  endpoint_id integer not null references heddle_endpoint (id) on delete cascade,
  state text not null check (state in ('running', 'promoted', 'rolled_back')),
  share double precision not null check (share > 0 and share < 1),
  margin double precision not null check (margin >= 0 and margin < 1),
  tried bigint not null default 0,
  bad bigint not null default 0,
  baseline_tried bigint not null default 0,
  baseline_bad bigint not null default 0,
  reason text not null default '',
  started_at timestamptz not null default clock_timestamp(),
  changed_at timestamptz not null default clock_timestamp(),
  primary key (model, endpoint_id)
) with (fillfactor = 50);
create unique index heddle_canary_running on heddle_canary (model) where state = 'running';

-- When a provider called back for an attempt: one that promised to and did not is counted against it.
alter table heddle_attempt add column called_back_at timestamptz;
