"""Teach a classifier in the browser: the photographs stay an ordinary folder. ``tortie studio``."""
