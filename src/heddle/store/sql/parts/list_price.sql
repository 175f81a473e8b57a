-- Purpose: tell what a call costs by the rates of its route's list: the route's price, and the difference of what the call says of its own images
--   and tokens (core.policy.price.of_call is the law). Included as an expression where `r` is the route and `u` the call's own_images, own_tokens,
--   and its model's usual_images, usual_tokens and output_tokens. Null: the route goes by no list, or every call of it costs the same.
case when r.image_nano_usd is null then r.price_nano_usd else least(1000000000000000, greatest(0, r.price_nano_usd
  + coalesce(r.image_nano_usd::numeric * (u.own_images - coalesce(u.usual_images, 1)), 0)
  + case when u.own_tokens is null then 0 else
    coalesce(ceil(r.input_nano_usd_per_mtok * 0.000001 * (u.own_tokens - least(u.own_tokens, coalesce(u.output_tokens, 0))))
      - ceil(r.input_nano_usd_per_mtok * 0.000001 * (u.usual_tokens - least(u.usual_tokens, coalesce(u.output_tokens, 0)))), 0)
    + coalesce(ceil(r.output_nano_usd_per_mtok * 0.000001 * least(u.own_tokens, u.output_tokens))
      - ceil(r.output_nano_usd_per_mtok * 0.000001 * least(u.usual_tokens, u.output_tokens)), 0) end))::bigint end
