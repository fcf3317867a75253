"""A classifier as a file that needs no tortie: an ONNX model, or a page for a browser."""
