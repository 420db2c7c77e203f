"""The report of one or several runs: one HTML file that works from disk, and the same as Markdown.

`gather` reads run folders; everything else is plain functions from what it found to text. No model is loaded.
"""
