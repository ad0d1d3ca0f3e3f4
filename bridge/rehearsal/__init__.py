"""Rules on messages that are not at a broker's door: explained, tested, compared, recorded. Nothing here is sent."""
