"""What PostgreSQL's catalogs say: relations, tables, columns, keys."""
