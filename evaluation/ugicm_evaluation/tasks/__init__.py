"""What is asked of a judge on a dataset, and how its answers are scored."""
