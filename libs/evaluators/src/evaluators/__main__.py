"""`python -m evaluators PROTOCOL ...`."""

import sys

from evaluators._cli import main

if __name__ == "__main__":
    sys.exit(main())
