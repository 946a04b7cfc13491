"""What a run was like, as a page to look at."""
