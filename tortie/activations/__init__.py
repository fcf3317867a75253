"""What a frozen prefix computes: the engine that runs it, and the store that keeps it."""
