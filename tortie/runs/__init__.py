"""The folder of a training run: what it holds, and how a run is resumed."""
