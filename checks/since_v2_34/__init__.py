"""The checks that only releases since v2.34 have, or have in another way."""
