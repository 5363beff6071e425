"""`python -m dicomweb_box`: the same as `dicomweb-box`."""

import sys

from dicomweb_box.cli import main

if __name__ == "__main__":
    sys.exit(main())
