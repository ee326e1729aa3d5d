"""One file per vendor: its routes and field tables, its words, how to talk to it."""
