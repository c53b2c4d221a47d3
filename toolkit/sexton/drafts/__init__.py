"""A first project file, from what the catalogs and a team's models say."""
