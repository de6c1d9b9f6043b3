"""``python -m lading`` is ``lading``."""

from lading.cli.main import main

if __name__ == "__main__":
    main()
