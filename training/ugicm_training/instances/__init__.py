"""Where the instances of a picture come from, and how training crops see them."""
