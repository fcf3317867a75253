"""The fit: plan, softmax layer, cross-fitting, and what a file remembers of it."""
