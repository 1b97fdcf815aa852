// Package encoding reads compressed objects: it recognises them by their first bytes, never by a name, and turns them into a
// stream of plain bytes, of which a checksum that the format has was checked. It knows no records, tasks or kinds of
// storage. storage/input reads through it; the master asks it what an object is before it cuts it.
//
//	gzip    members one after the other; zeros behind the last one are padding, anything else is an error
//	bzip2   streams one after the other; can be cut at its blocks, see bzip2.go
//	zstd    frames and skippable frames; can be cut at its frames if it has a seek table, see seektable.go
//	lz4     frames and skippable frames, not the older "legacy" format
//	snappy  the framing format, and S2, which extends it
//
// An object that ends early or is damaged is an error (ErrData), never fewer bytes. What no reader can notice: a file that was
// cut off exactly between two members or frames, and a snappy one between two chunks, of which none says that it is the last.
package encoding

import (
	"bytes"
	"encoding/binary"
)

// Kind is how an object's bytes are encoded.
type Kind string

const (
	Unknown  Kind = ""      // not looked at yet
	Plain    Kind = "plain" // not compressed, as far as this package knows
	Gzip     Kind = "gzip"
	Bzip2    Kind = "bzip2"
	Zstd     Kind = "zstd"
	Seekable Kind = "seekable zstd" // with a seek table at its end
	LZ4      Kind = "lz4"
	Snappy   Kind = "snappy"
	// Skippable is a frame of user data, which zstd and lz4 share: the first frame behind tells which of them it is.
	Skippable Kind = "zstd or lz4"
)

// Packed says whether bytes of that kind need a Decoder.
func (k Kind) Packed() bool { return k != Unknown && k != Plain }

// HeadBytes is how many of an object's first bytes Detect wants to see, fewer only of a smaller object.
const HeadBytes = 10

// magic is what objects of a kind begin with.
type magic struct {
	kind  Kind
	bytes string
	// least is how many bytes of it a whole object must have to be taken for one that was cut off within its magic.
	least int
}

// The masks of bzip2 (its level) and of skippable frames (any of 16) are in Detect. Of gzip the third byte is the only
// method of compression there is.
var magics = []magic{
	{Gzip, "\x1f\x8b\x08", 2},
	{Zstd, "\x28\xb5\x2f\xfd", 3},
	{LZ4, "\x04\x22\x4d\x18", 3},
	{Snappy, "\xff\x06\x00\x00sNaPpY", 4},
	{Snappy, "\xff\x06\x00\x00S2sTwO", 4},
	{Bzip2, "BZh9\x31\x41\x59\x26\x53\x59", 5}, // a block
	{Bzip2, "BZh9\x17\x72\x45\x38\x50\x90", 5}, // the end of an empty stream
}

// Detect tells what an object is by its first bytes: HeadBytes of them, or all. It is Plain if it is nothing that is known.
func Detect(head []byte) Kind {
	head = head[:min(len(head), HeadBytes)]
	if len(head) >= 4 && isSkippable(head) {
		return Skippable
	}
	if len(head) >= 4 && head[0] == 'B' && '1' <= head[3] && head[3] <= '9' {
		head = append(append(append([]byte{}, head[:3]...), '9'), head[4:]...)
	}
	for _, m := range magics {
		if bytes.HasPrefix(head, []byte(m.bytes)) {
			return m.kind
		}
		if len(head) >= m.least && len(head) < len(m.bytes) && len(head) < HeadBytes && m.bytes[:len(head)] == string(head) {
			return m.kind
		}
	}
	return Plain
}

// isSkippable says whether a frame of zstd or lz4 is to be passed over.
func isSkippable(head []byte) bool {
	return binary.LittleEndian.Uint32(head)&^0xf == 0x184d2a50
}

// Foreign names a compressed format that this package does not read and that objects of text never begin with, by their first
// bytes; "" if it is none. Archives of many files, as zip makes them, are none: as other files that are no text, they lie about in
// folders of text, and a job over the folder reads them as they are.
func Foreign(head []byte) string {
	for _, f := range []struct{ name, bytes string }{
		{"xz", "\xfd7zXZ\x00"},
		{"legacy lz4", "\x02\x21\x4c\x18"},
	} {
		if bytes.HasPrefix(head, []byte(f.bytes)) {
			return f.name
		}
	}
	return ""
}
