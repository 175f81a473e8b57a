-- Purpose: become or stay the leader that sweeps and keeps the timers. Caller: engine.sweep. Rows: one leader row; reads its holder's worker
--   row by key. Locks: the leader row. A leader that left or was declared dead is followed at once, a silent one when its time is over.
-- Nothing matches: somebody else leads.
update heddle_leader l set holder = %(worker)s, until = clock_timestamp() + make_interval(secs => %(lead_s)s)
where l.role = 'sweep' and (l.holder = %(worker)s or l.until < clock_timestamp()
  or not exists (select from heddle_worker w where w.id = l.holder and w.state in ('alive', 'draining')))
returning l.role
