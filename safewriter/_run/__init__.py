"""Which directory a run has, who writes it, and which run a writer joins."""
