"""What a teacher says as tensors: parts of a mixture, its probabilities, and its best items."""
