"""The decoder service: keeps frames, and turns streams into the views that are asked for."""
