package jobs

import (
	"encoding/binary"
	"errors"
)

// The encoding of a batch of pairs, at the border and in runs:
//
//	pair  = header, value length (uvarint), key bytes, value bytes
//	header = uvarint: key length + 1, or 0 when the key is that of the pair before it (then no key bytes follow)
//
// Only sorted batches use header 0, and never in a batch's first pair. Keys are encoded so that bytes.Compare orders them
// as Go orders the typed keys.

// ErrPairs reports bytes that are not a batch of pairs.
var ErrPairs = errors.New("malformed batch of pairs")

// AppendPair appends one pair to buf and returns the extended buffer.
func AppendPair(buf, key, value []byte) []byte {
	buf = binary.AppendUvarint(buf, uint64(len(key))+1)
	buf = binary.AppendUvarint(buf, uint64(len(value)))
	buf = append(buf, key...)
	return append(buf, value...)
}

// AppendSame appends a pair whose key is that of the pair before it.
func AppendSame(buf, value []byte) []byte {
	buf = append(buf, 0)
	buf = binary.AppendUvarint(buf, uint64(len(value)))
	return append(buf, value...)
}

// CutPair splits the first pair off a batch. prev is the key of the pair before it, which a header of 0 stands for.
// key, value and rest are views into batch (key into prev's backing array when it is the same).
func CutPair(batch, prev []byte) (key, value, rest []byte, err error) {
	h, n := binary.Uvarint(batch)
	if n <= 0 {
		return nil, nil, nil, ErrPairs
	}
	v, m := binary.Uvarint(batch[n:])
	if m <= 0 {
		return nil, nil, nil, ErrPairs
	}
	rest = batch[n+m:]
	key = prev
	if h > 0 {
		if h-1 > uint64(len(rest)) {
			return nil, nil, nil, ErrPairs
		}
		key, rest = rest[:h-1:h-1], rest[h-1:]
	} else if prev == nil {
		return nil, nil, nil, ErrPairs
	}
	if v > uint64(len(rest)) {
		return nil, nil, nil, ErrPairs
	}
	return key, rest[:v:v], rest[v:], nil
}
