"""Guards: foreign keys for live rows alone, over any reference."""
