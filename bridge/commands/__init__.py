"""One file per command of the command line; no logic of their own."""
