"""Recorded traffic checked against a vendor's spec, in both directions.

`recordings` reads it without trust, `addresses` finds whose traffic it is and which call, `comparing` tells every way
in which the two differ, `proposals` the patch of the spec that would make them one, and `reports` groups and heals.
"""
