"""Losses as pure functions: tensors in, one number a row (or the mean of them) out. No model, no file, no setting."""
