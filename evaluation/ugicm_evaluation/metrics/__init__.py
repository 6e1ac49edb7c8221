"""What judges' answers are worth, for each picture and over a set of them."""
