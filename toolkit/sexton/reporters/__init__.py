"""Results as text or as documents: functions that take a result and return a string."""
