#!/usr/bin/env python3
"""Adds up the numbers of each word. The lines come sorted, so that a word is complete when another one comes."""
import sys

current_word = None
current_count = 0

for line in sys.stdin:
    word, count = line.strip().split("\t", 1)
    try:
        count = int(count)
    except ValueError:
        sys.stderr.write("reporter:counter:words,no number,1\n")
        continue
    if word == current_word:
        current_count += count
    else:
        if current_word is not None:
            print("%s\t%s" % (current_word, current_count))
        current_word, current_count = word, count

if current_word is not None:
    print("%s\t%s" % (current_word, current_count))
