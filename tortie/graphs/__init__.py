"""A network's program as an ONNX graph: written from its modules, read back without torch."""
