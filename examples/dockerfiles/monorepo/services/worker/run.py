"""Adds prices up: ``run.py HOW-MANY-OF-EACH``."""

import json
import sys

from money import written
from text import plural

with open("/etc/service.json") as file:
    prices = json.load(file)["prices"]
count = int(sys.argv[1])
print(f"{plural(count, 'piece')} of each: {written(count * sum(prices.values()))}")
