"""Brokers: one file each, all behind the contract of ``base.py``."""
