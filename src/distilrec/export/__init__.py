"""Students as ONNX graphs, and the certificate that they say what they said before."""
