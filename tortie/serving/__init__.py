"""A classifier over HTTP, and the page where it is tried. Needs ``tortie[serve]``."""
