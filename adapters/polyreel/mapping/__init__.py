"""The lens: shared words and native fields, read both ways. Knows no vendor."""
