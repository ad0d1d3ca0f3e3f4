"""Where dead letters go when the outbox does not keep them: one file per broker."""
