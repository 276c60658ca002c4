"""What is suspicious in what is logged."""
