"""Schema changes that nobody waits for: steps, locks, and who is in the way."""
