"""Takes a changed configuration into use while the bridge runs: what changed, when to look, and how to get there."""
