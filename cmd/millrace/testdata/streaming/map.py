#!/usr/bin/env python3
"""Writes each word of the lines with a 1."""
import re
import sys

for line in sys.stdin:
    for word in re.findall(r"[^\W\d_]+", line.strip()):
        print("%s\t%s" % (word, 1))
