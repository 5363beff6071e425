"""Stands in for a codec that does not come to an end."""

import time

if __name__ == "__main__":
    time.sleep(20)
