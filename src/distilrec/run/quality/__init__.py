"""Proof: students, methods and controls on one data set, each trained once, judged alike."""
