"""What a network costs: multiplications, additions, comparisons, parameters and memory."""
