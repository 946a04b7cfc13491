"""What is published: a wheel that installs and works, and sources that are complete."""
