-- Purpose: count what keeps a week's runs besides themselves: what is leased, timed or holds a slot, and events that a customer is still to be
--   told. Caller: store.retaining. Rows: reads lease, slot, timer, outbox. Indexes: their keys begin with run_id. Locks: none.
select (select count(*) from (
    select 1 from heddle_lease where run_id >= %(low)s and run_id < %(high)s
    union all
    select 1 from heddle_slot where run_id >= %(low)s and run_id < %(high)s
    union all
    select 1 from heddle_timer where run_id >= %(low)s and run_id < %(high)s
    limit %(limit)s) h)::int as held,
  (select count(*) from (
    select 1 from heddle_outbox where run_id >= %(low)s and run_id < %(high)s and state = 'due' limit %(limit)s) w)::int as undelivered
