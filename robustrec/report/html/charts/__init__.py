"""Charts as plain SVG: x in percent of the width, y in pixels, colours by CSS classes.

One chart fits every width between a phone and a desktop, with text at 12 px, and follows the page in light, dark and
print. Nothing has a style attribute, so that a page may forbid inline styles. Values that are missing, NaN or infinite
are not drawn.
"""
