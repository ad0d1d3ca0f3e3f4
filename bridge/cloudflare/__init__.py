"""The Workflows API: its six endpoints, its answers, its limits."""
