"""MLIC++'s entropy model on integers (Jiang and Wang, 2023): twenty steps that code the latents."""
