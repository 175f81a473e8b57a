-- Purpose: count what keeps a week's runs besides themselves: what is leased, timed, in line or holds a slot,
--   events that a customer is still to be told, and reservations that were neither
--   charged nor released. Caller: store.retaining. Rows: reads lease, slot, timer, outbox, ledger. Indexes: their keys begin with run_id. Locks: none.
select (select count(*) from (
    select 1 from heddle_lease where run_id >= %(low)s and run_id < %(high)s
    union all
    select 1 from heddle_slot where run_id >= %(low)s and run_id < %(high)s
    union all
    select 1 from heddle_timer where run_id >= %(low)s and run_id < %(high)s
    limit %(limit)s) h)::int as held,
  (select count(*) from (
    select 1 from heddle_ledger r
    where r.run_id >= %(low)s and r.run_id < %(high)s and r.kind = 'reserve' and not exists (
      select 1 from heddle_ledger c where c.run_id = r.run_id and c.ordinal = r.ordinal and c.number = r.number and c.kind in ('charge', 'release'))
    limit %(limit)s) o)::int as reserved,
  (select count(*) from (
    select 1 from heddle_outbox where run_id >= %(low)s and run_id < %(high)s and state = 'due' limit %(limit)s) w)::int as undelivered
