"""What a job will cost, and what it was charged.

What nobody has said is unknown, never zero and never a guess; no amount is a binary fraction.

- `amounts`: the two values, `Cost` and `Charge`.
- `published`: the cost by the prices that a vendor publishes in its spec, with date and source
  (`x-polyreel-price` on a request's schema, `x-polyreel-money` for the price of a credit).
- `book` and `pricefile`: the user's own prices, which come before the published ones.
- `charged`: the charge that a vendor reports in the `usage` of a job, at the places that its spec
  names (`x-polyreel-usage`).
"""
