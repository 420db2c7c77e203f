"""Pretrained encoders: what an item says, looks or sounds like, as vectors."""
