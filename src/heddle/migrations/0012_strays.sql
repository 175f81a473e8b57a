-- Waits at most this long for a lock that claims hold, and others at most this long behind it; `heddle migrate` tries again.
set local lock_timeout = '2s';

-- What providers tell of at one address for a whole account, of jobs that no call in flight has: they came late, or are not ours.
create table heddle_stray (
  endpoint_id integer not null,
  handle text not null,
  at timestamptz not null default clock_timestamp(),
  primary key (endpoint_id, handle)
);
create index heddle_stray_at on heddle_stray (at);
