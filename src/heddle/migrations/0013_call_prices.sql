-- Waits at most this long for a lock that claims hold, and others at most this long behind it; `heddle migrate` tries again.
set local lock_timeout = '2s';

-- What a list asks for each unit of which a call may say its own number. Null: every call of the route costs price_nano_usd, which is for what
-- heddle_model says a call uses.
alter table heddle_route
  add column image_nano_usd bigint check (image_nano_usd >= 0),
  add column input_nano_usd_per_mtok bigint check (input_nano_usd_per_mtok >= 0),
  add column output_nano_usd_per_mtok bigint check (output_nano_usd_per_mtok >= 0);
