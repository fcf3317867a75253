"""Training by steps: recipes, schedules, losses, optimisers, batches, and the loop."""
