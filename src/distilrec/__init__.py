"""DistilRec turns large pretrained models into small, fast recommenders."""

__version__ = "0.1.0"
