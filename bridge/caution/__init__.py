"""A message that kills the process is found, and kills it no more."""
