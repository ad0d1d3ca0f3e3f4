"""What the bridge costs per message: ``make bench``."""
