"""``python -m safewriter``."""

from __future__ import annotations

import sys

from safewriter._cli.main import main

if __name__ == "__main__":
    sys.exit(main())
