"""Large pretrained teachers, and the taking of their knowledge."""
