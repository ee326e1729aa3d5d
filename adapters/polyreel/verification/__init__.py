"""Recorded traffic checked against a vendor's spec, in both directions.

`recordings` reads untrusted files. `addresses` finds the vendor and the documented call of each
exchange. `comparing` finds every difference between the two, `proposals` writes the patch of the
spec that would remove a difference, and `reports` groups the differences and applies the patches.

`probing` makes the free calls of a vendor, and `readiness` says what their answers mean.
"""
