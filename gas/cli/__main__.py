"""`python -m gas.cli`: the command line without its script."""

import sys

from gas.cli.entry import main

if __name__ == "__main__":
    sys.exit(main())
