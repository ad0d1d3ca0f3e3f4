"""The operator's view: what the admin API answers, and what it does for who may act."""
