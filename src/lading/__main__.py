"""``python -m lading`` is ``lading``."""

from lading.start import lading

if __name__ == "__main__":
    lading()
