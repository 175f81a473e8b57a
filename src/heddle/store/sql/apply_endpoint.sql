-- Purpose: upsert an endpoint. Caller: store.apply. Rows: endpoint. Index: its name. Locks: that row.
insert into heddle_endpoint (name, adapter, url, secret_name, callback_secret_name, timeout_s, price_nano_usd, is_paid, options, scope_ids, poll_lane,
  is_list_priced, spend_accounts, regions)
values (%(name)s, %(adapter)s, %(url)s, %(secret)s, %(callback_secret)s, %(timeout_s)s, %(price)s, %(is_paid)s, %(options)s::jsonb,
  %(scope_ids)s, %(poll_lane)s, %(is_list_priced)s, %(spend_accounts)s::text[], %(regions)s::text[])
on conflict (name) do update set adapter = excluded.adapter, url = excluded.url, secret_name = excluded.secret_name,
  callback_secret_name = excluded.callback_secret_name, timeout_s = excluded.timeout_s, price_nano_usd = excluded.price_nano_usd,
  is_paid = excluded.is_paid, options = excluded.options, scope_ids = excluded.scope_ids, is_enabled = true,
  is_list_priced = excluded.is_list_priced, spend_accounts = excluded.spend_accounts, regions = excluded.regions
returning id
