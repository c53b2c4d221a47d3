"""What a team declares in a file, and whether its database has it."""
