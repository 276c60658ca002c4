"""What stands between the writer and torch: the only rooms that know torch and tensorboard."""
