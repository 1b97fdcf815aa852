#!/usr/bin/env python3
"""Lists the files in which each word occurs, with generators and groupby."""
import sys
from itertools import groupby
from operator import itemgetter


def read(lines, separator="\t"):
    for line in lines:
        yield line.rstrip("\n").split(separator, 1)


def main(separator="\t"):
    for word, group in groupby(read(sys.stdin), itemgetter(0)):
        files = sorted({name for _, name in group})
        print("%s%s%s" % (word, separator, " ".join(files)))


if __name__ == "__main__":
    main()
