"""A faithful Workflows API for demos and tests."""
