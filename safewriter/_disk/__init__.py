"""How an event reaches the disk."""
