-- Purpose: become or stay the leader that sweeps and keeps the timers. Caller: engine.sweep. Rows: one leader row. Locks: it.
-- Nothing matches: somebody else leads.
update heddle_leader set holder = %(worker)s, until = clock_timestamp() + make_interval(secs => %(lead_s)s)
where role = 'sweep' and (holder = %(worker)s or until < clock_timestamp())
returning role
