"""Recipes: all stages joined, each finished one kept, any interrupted one resumed."""
