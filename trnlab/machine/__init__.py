"""What exists: chips, cores, memories, and where every number comes from."""
