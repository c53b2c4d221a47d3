"""Text on its way in or out: what could lie, what is secret, times."""
