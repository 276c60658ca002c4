"""Where events go that no local disk keeps."""
