-- Waits at most this long for a lock that claims hold, and others at most this long behind it; `heddle migrate` tries again.
set local lock_timeout = '2s';

-- Tokens and images per minute, beside the requests that are there; what the provider told of its limits; slow start, retry budget, adaptation.
alter table heddle_limit_state
  add column concurrency_min integer check (concurrency_min > 0),
  add column concurrency_max integer check (concurrency_max > 0),
  add column tokens_per_min bigint check (tokens_per_min > 0),
  add column tokens_burst bigint not null default 1 check (tokens_burst > 0),
  add column tokens_tat timestamptz not null default '-infinity',
  add column images_per_min bigint check (images_per_min > 0),
  add column images_burst bigint not null default 1 check (images_burst > 0),
  add column images_tat timestamptz not null default '-infinity',
  add column requests_told bigint,
  add column requests_told_until timestamptz,
  add column tokens_told bigint,
  add column tokens_told_until timestamptz,
  add column images_told bigint,
  add column images_told_until timestamptz,
  add column frozen_until timestamptz,
  add column closed_at timestamptz,
  add column ramp_slots integer,
  add column first_tries bigint not null default 0,
  add column retries bigint not null default 0,
  add column retries_upto bigint,
  add column governed_at timestamptz,
  add column finished bigint not null default 0,
  add column finished_s double precision not null default 0,
  add column throttled bigint not null default 0,
  add column tokens_used bigint not null default 0,
  add column tokens_calls bigint not null default 0;
alter table heddle_limit_delta
  add column silent integer not null default 0,
  add column throttled integer not null default 0,
  add column finished integer not null default 0,
  add column finished_s double precision not null default 0,
  add column tokens bigint not null default 0,
  add column tokens_used bigint not null default 0,
  add column tokens_calls integer not null default 0,
  add column images bigint not null default 0,
  add column frozen_until timestamptz,
  add column dimension smallint check (dimension between 1 and 3),
  add column limit_per_min bigint,
  add column remaining bigint,
  add column told_until timestamptz,
  add column empty_until timestamptz;
alter table heddle_slot
  add column epochs integer[],
  add column tokens bigint not null default 0,
  add column images bigint not null default 0;
alter table heddle_model
  add column tokens bigint check (tokens > 0),
  add column images bigint check (images > 0);
-- Which tier of its model's routes an attempt was sent to, and what the first tier would have cost (null at the first tier itself).
alter table heddle_attempt
  add column tier smallint not null default 0,
  add column primary_price_nano_usd bigint;
