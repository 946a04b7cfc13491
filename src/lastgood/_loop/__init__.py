"""Training loops of your own, and a check that a training resumes exactly."""
