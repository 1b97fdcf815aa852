"""Compresses a file by every program that tests read from: pack.py FILE FOLDER writes FOLDER/gz, FOLDER/bz2 and so on."""

import bz2
import gzip
import pathlib
import sys

import cramjam
import lz4.frame
import pyzstd

source, folder = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
data = source.read_bytes()
half = len(data) // 2


def seekable(name: pathlib.Path) -> None:
    """A zstd file with a seek table, in frames of 50,000 bytes."""
    with pyzstd.SeekableZstdFile(name, "w", max_frame_content_size=50_000) as file:
        file.write(data)


for name, packed in {
    "gz": gzip.compress(data[:half]) + gzip.compress(b"") + gzip.compress(data[half:]),
    "bz2": bz2.compress(data[:half], 1) + bz2.compress(b"") + bz2.compress(data[half:], 2),
    "zst": pyzstd.compress(data[:half], 3) + pyzstd.compress(b"") + pyzstd.compress(data[half:], 19),
    "lz4": lz4.frame.compress(data[:half], content_checksum=True) + lz4.frame.compress(data[half:], block_linked=False),
    "sz": bytes(cramjam.snappy.compress(data)),
}.items():
    (folder / name).mkdir(exist_ok=True)
    (folder / name / source.name).write_bytes(packed)
(folder / "seekable").mkdir(exist_ok=True)
seekable(folder / "seekable" / source.name)
