-- Waits at most this long for a lock that claims hold, and others at most this long behind it; `heddle migrate` tries again.
set local lock_timeout = '2s';

-- How old a result may become, in hours: its pointer goes so long after the call has ended, and not after it was noted. Null: of a release
-- that did not say, and goes by `until`, which is the earliest time to look at a pointer again.
alter table heddle_result add column hours double precision;
