-- Waits at most this long for a lock that claims hold, and others at most this long behind it; `heddle migrate` tries again.
set local lock_timeout = '2s';

-- The newest run of each chain of continue_as_new by the first, which is the only id that its caller was given: it leads there also after the
-- first run has gone with its week. A row per chain, written anew for each link: no index but the key, so that it stays on its page.
create table heddle_chain (
  first uuid primary key,
  tenant_id integer not null,
  last uuid not null
) with (fillfactor = 50);
