"""``check --online``: asks brokers and APIs whether they have what a configuration names, and changes nothing."""
