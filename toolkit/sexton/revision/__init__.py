"""A revision that makes what the database has into what is declared."""
