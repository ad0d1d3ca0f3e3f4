"""What operators do to a bridge: work its dead letters, pause and resume, drain; and how a command reaches it."""
