"""Traces of messages: their W3C context, the spans that the bridge makes of it, and where these go (the extra otel)."""
