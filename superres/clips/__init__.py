"""GIFs, and clips that are upscaled where they change."""
