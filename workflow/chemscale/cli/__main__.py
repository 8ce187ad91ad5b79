"""`python -m chemscale.cli`, which torchrun starts."""

import sys

from chemscale.cli import main

sys.exit(main())
