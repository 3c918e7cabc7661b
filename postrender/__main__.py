"""`python -m postrender` is `tidb-postrender`."""

import sys

from postrender.cli import main

sys.exit(main())
