"""Everything that may be given to tortie, tried in numbers; see docs/reliability.md."""
