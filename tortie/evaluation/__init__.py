"""How good a classifier is: probabilities, metrics, the report."""
