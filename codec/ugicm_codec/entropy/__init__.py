"""Everything between latents and coded bytes: integer networks and the coder."""
