"""The durable link between the two halves of the bridge."""
