"""Ranking for people, on a machine without torch: the runtime, a store of events, and a server that stays up.

Nothing is imported here, so that the runtime alone costs no web framework.
"""
