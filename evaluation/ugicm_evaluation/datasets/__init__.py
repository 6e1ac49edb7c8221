"""Where pictures and what is true of them come from."""
