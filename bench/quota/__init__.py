"""Whether the bridge keeps to the API's quota and uses all of it: ``make quota``."""
