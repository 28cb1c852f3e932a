"""How slides are tiled, and which settings decide the arrays of a slide."""
