"""For training loops of your own, and for finding out whether a training continues exactly."""
