"""What a model is worth, as figures, curves and a page that says how to get them again."""
