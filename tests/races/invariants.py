"""Say, in SQL, what holds between the tables at every commit, and list the rows for which it does not.

Each rule is a query whose rows are violations; a rule never looks at order or time. A ready row of a step that is over
is not one: a stop leaves them behind, and the claim that meets one drops it. ``drained`` adds what holds once nothing
is left to do.
"""

from typing import Any

import psycopg

OPEN = "('blocked', 'due', 'pending', 'waiting', 'unknown')"
LIVE = "('queued', 'running')"
POLL_LANE = "y.lane in (select poll_lane from heddle_endpoint)"
# The provider has the job, or may have it, its call was stopped since, and nobody has yet heard that the job is over.
CANCELLED_ABROAD = """s.state = 'cancelled' and exists (
  select 1 from heddle_attempt a where a.run_id = s.run_id and a.ordinal = s.ordinal and a.state in
    ('sending', 'accepted', 'unknown'))"""

RULES: dict[str, str] = {
    "a run counts its open calls": f"""
        select r.id, r.open, count(s.ordinal) from heddle_run r
        left join heddle_step s on s.run_id = r.id and s.state in {OPEN}
        group by r.id, r.open having r.open <> count(s.ordinal)""",
    "a due step is in line or leased, once": """
        select s.run_id, s.ordinal, q.ready, q.leased from heddle_step s
        cross join lateral (select
          (select count(*) from heddle_ready y where y.run_id = s.run_id and y.ordinal = s.ordinal and y.lane =
            s.lane) as ready,
          (select count(*) from heddle_lease l where l.run_id = s.run_id and l.ordinal = s.ordinal) as leased) q
        where s.state = 'due' and q.ready + q.leased <> 1 and not (q.ready + q.leased = 0 and exists (
          select 1 from heddle_timer t
          where t.run_id = s.run_id and t.ordinal = 0 and t.kind = 'deadline' and t.due_at <= clock_timestamp()))""",
    "a job of a stopped call is asked about by somebody": f"""
        select k.run_id, k.ordinal from heddle_slot k
        join heddle_step s on s.run_id = k.run_id and s.ordinal = k.ordinal and s.state = 'cancelled'
        where not exists (select 1 from heddle_timer t where t.run_id = s.run_id and t.ordinal = s.ordinal and
            t.kind = 'reconcile')
          and not exists (select 1 from heddle_ready y where y.run_id = s.run_id and y.ordinal = s.ordinal and
            {POLL_LANE})
          and not exists (select 1 from heddle_lease l where l.run_id = s.run_id and l.ordinal = s.ordinal)""",
    "a pending or unknown step is asked about by somebody": f"""
        select s.run_id, s.ordinal, s.state from heddle_step s
        where s.state in ('pending', 'unknown')
          and not exists (select 1 from heddle_timer t where t.run_id = s.run_id and t.ordinal = s.ordinal and
            t.kind in ('poll', 'reconcile'))
          and not exists (select 1 from heddle_ready y where y.run_id = s.run_id and y.ordinal = s.ordinal and
            {POLL_LANE})
          and not exists (select 1 from heddle_lease l where l.run_id = s.run_id and l.ordinal = s.ordinal)
          and not (s.state = 'unknown' and not exists (select 1 from heddle_slot k where k.run_id = s.run_id and
            k.ordinal = s.ordinal))""",
    "a waiting step has what wakes it": """
        select s.run_id, s.ordinal, s.kind from heddle_step s
        where s.state = 'waiting'
          and not exists (select 1 from heddle_timer t where t.run_id = s.run_id and t.ordinal = s.ordinal)
          and not (s.kind = 'workflow' and s.child_run is not null)
          and not (s.kind = 'signal' and (select count(*) from heddle_signal x where x.run_id = s.run_id and x.name
            = s.name
            and x.consumed_by is null) <= (select count(*) from heddle_step o join heddle_timer t on t.run_id = o.run_id
            and t.ordinal = o.ordinal where o.run_id = s.run_id and o.kind = 'signal' and o.name = s.name and
              o.state = 'waiting'))""",
    "a blocked step counts the calls it waits for": """
        select s.run_id, s.ordinal, s.blockers from heddle_step s
        where s.state = 'blocked' and (s.blockers < 1 or s.blockers <> (
          select count(*) from unnest(s.parents) as p (ordinal) join heddle_step q on q.run_id = s.run_id and
            q.ordinal = p.ordinal
          where q.state <> 'succeeded'))""",
    "a blocked step waits for a call that is open": f"""
        select s.run_id, s.ordinal from heddle_step s
        where s.state = 'blocked' and not exists (
          select 1 from heddle_step q where q.run_id = s.run_id and q.ordinal = any(s.parents) and q.state in
            {OPEN})""",
    "a slot has a job that may be going on": f"""
        select k.run_id, k.ordinal, s.state from heddle_slot k
        join heddle_step s on s.run_id = k.run_id and s.ordinal = k.ordinal
        where not (s.state in ('pending', 'unknown') or {CANCELLED_ABROAD}
          or exists (select 1 from heddle_lease l where l.run_id = k.run_id and l.ordinal = k.ordinal and l.purpose
            in ('send', 'poll'))
          or s.state = 'waiting' and exists (select 1 from heddle_timer t
            where t.run_id = k.run_id and t.ordinal = k.ordinal and t.kind = 'retry'))""",
    "a job that may be going on has a slot": """
        select s.run_id, s.ordinal, s.state from heddle_step s
        where s.kind = 'model' and (s.state = 'pending' or exists (
            select 1 from heddle_lease l where l.run_id = s.run_id and l.ordinal = s.ordinal and l.purpose = 'send'))
          and not exists (select 1 from heddle_slot k where k.run_id = s.run_id and k.ordinal = s.ordinal)""",
    "a scope counts its slots and what is released": """
        select v.id, v.name, v.in_flight, q.slots, q.released from heddle_limit_state v
        cross join lateral (select
          (select count(*) from heddle_slot k join heddle_endpoint e on e.id = k.endpoint_id where v.id =
            any(e.scope_ids)) as slots,
          coalesce((select sum(d.released) from heddle_limit_delta d where d.scope_id = v.id), 0) as released) q
        where v.in_flight - q.released <> q.slots""",
    "no scope is over its concurrency": """
        select id, name, in_flight, concurrency from heddle_limit_state where in_flight > concurrency""",
    "events of a run have no gap": """
        select r.id, r.event_seq, q.told, q.last from heddle_run r
        cross join lateral (
          select coalesce(max(e.seq), 1) as last,
            1 + coalesce(sum(case e.name when 'batch' then jsonb_array_length(e.detail -> 'of') else 1 end), 0) as told
          from heddle_event e where e.run_id = r.id) q
        where r.event_seq <> q.told or r.event_seq <> q.last""",
    "an activation is due exactly when it is in line, leased or timed": f"""
        select r.id, r.is_activation_due, q.places from heddle_run r
        cross join lateral (select
          (select count(*) from heddle_ready y where y.run_id = r.id and y.ordinal = 0)
          + (select count(*) from heddle_lease l where l.run_id = r.id and l.ordinal = 0)
          + (select count(*) from heddle_timer t where t.run_id = r.id and t.ordinal = 0 and t.kind = 'start') as
            places) q
        where r.state in {LIVE} and q.places <> case when r.is_activation_due then 1 else 0 end""",
    "a terminal run holds nothing but jobs being cancelled": f"""
        select r.id, r.state, s.ordinal from heddle_run r
        join heddle_step s on s.run_id = r.id
        where r.state not in {LIVE} and (s.state in {OPEN}
          or exists (select 1 from heddle_lease l where l.run_id = r.id and l.ordinal = s.ordinal and l.purpose <>
            'poll')
          or exists (select 1 from heddle_timer t where t.run_id = r.id and t.ordinal = s.ordinal and t.kind <> 'child'
            and not (t.kind = 'reconcile' and {CANCELLED_ABROAD}))
          or exists (select 1 from heddle_slot k where k.run_id = r.id and k.ordinal = s.ordinal) and not
            ({CANCELLED_ABROAD}))""",
    "a run that is live has something that moves it": f"""
        select r.id, r.state, r.function_state from heddle_run r
        where r.state in {LIVE} and r.open = 0 and not r.is_activation_due""",
    "a step is in line once": f"""
        select y.run_id, y.ordinal, count(*) from heddle_ready y
        where not {POLL_LANE} group by y.run_id, y.ordinal having count(*) > 1""",
    "a lease is of a step that is not over": f"""
        select l.run_id, l.ordinal, s.state from heddle_lease l
        left join heddle_step s on s.run_id = l.run_id and s.ordinal = l.ordinal
        where l.ordinal > 0 and not (s.state in {OPEN} or s.state = 'cancelled' and l.purpose = 'poll')""",
    "a reservation is open with its attempt, and else charged and released to the last": """
        select g.run_id, g.ordinal, g.number, a.state, g.amount_nano_usd, c.kinds, c.amount
        from heddle_ledger g
        join heddle_attempt a on a.run_id = g.run_id and a.ordinal = g.ordinal and a.number = g.number
        cross join lateral (
          select array_agg(x.kind) as kinds, coalesce(sum(x.amount_nano_usd), 0) as amount from heddle_ledger x
          where x.run_id = g.run_id and x.ordinal = g.ordinal and x.number = g.number
            and x.kind in ('charge', 'release')
        ) c
        where g.kind = 'reserve' and case when a.state in ('sending', 'accepted', 'unknown') then c.kinds is not null
          else c.amount <> g.amount_nano_usd end""",
    "the ledger and the runs say the same": """
        select r.id, r.cost_nano_usd, sum(case g.kind when 'refund' then -g.amount_nano_usd else g.amount_nano_usd end)
        from heddle_run r
        join heddle_ledger g on g.run_id = r.id and g.kind in ('charge', 'adjustment', 'refund')
        group by r.id, r.cost_nano_usd
        having r.cost_nano_usd <> sum(case g.kind when 'refund' then -g.amount_nano_usd else g.amount_nano_usd end)""",
}
DRAINED: dict[str, str] = {
    "nothing is in line": "select run_id, ordinal, lane from heddle_ready",
    "nothing is leased": "select run_id, ordinal, purpose from heddle_lease",
    "no slot is held": "select run_id, ordinal from heddle_slot",
    "no timer is set": "select run_id, ordinal, kind from heddle_timer",
    "every run is terminal": f"select id, state from heddle_run where state in {LIVE}",
}


def broken(
    connection: psycopg.Connection[Any], *, drained: bool = False, but: frozenset[str] = frozenset()
) -> dict[str, list[Any]]:
    """List the violations of every rule but those named, by rule."""
    rules = {**RULES, **(DRAINED if drained else {})}
    assert but <= set(rules), "a rule that is left out exists"
    found = {
        name: connection.execute(query + " limit 20").fetchall() for name, query in rules.items() if name not in but
    }
    return {name: rows for name, rows in found.items() if rows}
