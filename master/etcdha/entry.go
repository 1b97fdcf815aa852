package etcdha

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// An entry's value:
//
//	8 bytes  Seq, big-endian: values are ordered as entries are, which a condition of Append uses
//	1 byte   the format's version
//	8 bytes  a nonce, which tells this write from any other
//	uvarint  its place among the entries of its write: the order of jobs that began in one write
//	uvarint  the number of records, and for each: uvarint its length, its bytes
//	4 bytes  CRC-32C of all before, big-endian
//
// A replacement under way has the value that entry 0 will have, or one without records when the log will be gone.
const (
	entryVersion = 1
	entryFixed   = 8 + 1 + 8
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encodeEntry returns an entry's value.
func encodeEntry(seq uint64, nonce [8]byte, place int, records [][]byte) []byte {
	n := entryFixed + 2*binary.MaxVarintLen64 + 4
	for _, r := range records {
		n += binary.MaxVarintLen32 + len(r)
	}
	b := make([]byte, 0, n)
	b = binary.BigEndian.AppendUint64(b, seq)
	b = append(b, entryVersion)
	b = append(b, nonce[:]...)
	b = binary.AppendUvarint(b, uint64(place))
	b = binary.AppendUvarint(b, uint64(len(records)))
	for _, r := range records {
		b = binary.AppendUvarint(b, uint64(len(r)))
		b = append(b, r...)
	}
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// decoded is what an entry's value says. Its records are views into the value.
type decoded struct {
	seq     uint64
	place   uint64
	records [][]byte
}

var errDamaged = errors.New("its value is damaged: restore a snapshot of etcd")

// decodeEntry reads an entry's value. Lengths are believed only as far as there are bytes.
func decodeEntry(b []byte) (decoded, error) {
	if len(b) < entryFixed+4 {
		return decoded{}, errDamaged
	}
	body, sum := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return decoded{}, errDamaged
	}
	if body[8] != entryVersion {
		return decoded{}, fmt.Errorf("its format is %d and this millrace knows %d: it was written by a newer one, run that", body[8], entryVersion)
	}
	d := decoded{seq: binary.BigEndian.Uint64(body)}
	rest := body[entryFixed:]
	var count uint64
	var ok bool
	if d.place, rest, ok = uvarint(rest); !ok {
		return decoded{}, errDamaged
	}
	if count, rest, ok = uvarint(rest); !ok || count > uint64(len(rest)) {
		return decoded{}, errDamaged
	}
	d.records = make([][]byte, count)
	for i := range d.records {
		var n uint64
		if n, rest, ok = uvarint(rest); !ok || n > uint64(len(rest)) {
			return decoded{}, errDamaged
		}
		d.records[i], rest = rest[:n:n], rest[n:]
	}
	if len(rest) > 0 {
		return decoded{}, errDamaged
	}
	return d, nil
}

// uvarint takes a number off b.
func uvarint(b []byte) (v uint64, rest []byte, ok bool) {
	v, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, nil, false
	}
	return v, b[n:], true
}
