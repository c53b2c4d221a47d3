"""PostgreSQL: what its catalogs say and what its sessions need. Knows nothing of Sexton."""
