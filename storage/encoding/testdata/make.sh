#!/bin/sh
# Makes the files of this folder anew: run it here with gzip, bzip2, zstd and lz4 on the path, and a Python (PYTHON) that has
# pyzstd and cramjam. They are committed, as not every machine has these programs.
set -eu
PYTHON=${PYTHON:-python3}
rm -f text *.gz *.bz2 *.zst *.lz4 *.sz

# A text of 3,000 bytes with long and short lines, and its parts.
head -c 3000 ../../../testdata/text/king-james-gospels.txt >text
head -c 1000 text >a; tail -c +1001 text | head -c 1234 >b; tail -c +2235 text >c; : >empty

gzip -9nc text >one.gz
for f in a empty b c; do gzip -nc "$f"; done >members.gz
cp one.gz padded.gz; head -c 700 /dev/zero >>padded.gz
gzip -nc empty >empty.gz

bzip2 -1c text >one.bz2
for f in a empty b c; do bzip2 -1c "$f"; done >streams.bz2
bzip2 -1c empty >empty.bz2
# Blocks so small that a test can try every split: 120,000 lines "0" to "119", 1,000 of each, with at most 100,000 bytes a block.
seq 0 119999 | awk '{print int($1 / 1000)}' | bzip2 -1c >blocks.bz2
# The magics of a block and of the end lie in the map of the bytes that each block uses: sixteen bits for sixteen bytes, of which
# these have the right ones, from "@" to "o".
seq 1 12000 | sed 's/$/ BCGIOQSTWZ]^acfgiklo/' | bzip2 -1c >planted.bz2
seq 1 12000 | sed 's/$/ CEFGIJKNQUWZ[\\achk/' | bzip2 -1c >planted-ends.bz2

zstd -q -19 -c text >one.zst
zstd -q --no-check -c text >unchecked.zst
# Frames of all sorts: skippable ones (four bytes each) before, between and behind them, and an empty one.
skip() { printf '\120\052\115\030\004\000\000\000user'; }
{ skip; zstd -q -c a; zstd -q -c empty; skip; zstd -q -c <b; zstd -q --no-check -c c; skip; } >frames.zst
skip >skipped.zst
zstd -q -c empty >empty.zst

lz4 -q -9 -c text >one.lz4
lz4 -q -BD -B4 --no-frame-crc -c text >linked.lz4
{ skip; lz4 -q -c a; lz4 -q -c empty; skip; lz4 -q -BX -c b; lz4 -q --content-size -c c; } >frames.lz4
lz4 -q -c empty >empty.lz4

"$PYTHON" - <<'PYTHON'
import cramjam, pyzstd
part = {name: open(name, "rb").read() for name in ("text", "a", "b", "c")}
write = lambda name, data: open(name, "wb").write(data)
write("one.sz", bytes(cramjam.snappy.compress(part["text"])))
write("streams.sz", b"".join(bytes(cramjam.snappy.compress(part[p])) for p in "abc"))
with pyzstd.SeekableZstdFile("seekable.zst", "w", max_frame_content_size=400) as f:
    f.write(part["text"])
PYTHON
rm a b c empty
