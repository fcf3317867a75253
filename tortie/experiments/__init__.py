"""What all studies share: cells, resuming, intervals, verdict, table, figure, pages."""
