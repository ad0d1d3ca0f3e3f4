"""workflow-bridge: message queues in, Cloudflare Workflows out."""

__version__ = "0.1.0"
