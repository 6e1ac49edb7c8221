"""What turns a picture into a file's bytes and back."""
