"""Single images: what they are, their files, how they get small and how they are compared."""
