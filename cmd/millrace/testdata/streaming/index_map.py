#!/usr/bin/env python3
"""Writes each word of a file with the file's name, which Hadoop tells in the environment."""
import os
import re
import sys

name = os.path.basename(os.environ["mapreduce_map_input_file"])
for line in sys.stdin:
    sys.stderr.write("reporter:counter:index,lines,1\n")
    for word in re.findall(r"[^\W\d_]+", line):
        print(word + "\t" + name)
