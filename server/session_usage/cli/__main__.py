"""``python -m session_usage.cli`` is the command ``session-usage``."""

import sys

from session_usage.cli import main

sys.exit(main())
