"""`python -m smapcomp` is the command `smapcomp`."""

import sys

from smapcomp.cli import main

sys.exit(main())
