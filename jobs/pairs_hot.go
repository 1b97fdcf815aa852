package jobs

import (
	"encoding/binary"
	"math/bits"
)

// closePair writes the header of the pair whose key and value lie at the end of buf already: two bytes at start that are
// left for the header, the key up to middle, the value up to the end. It moves them only when the header needs more than
// two bytes, so the common pair is encoded in place, in one pass. (Encoding key and value elsewhere and AppendPair-ing them
// copies every byte twice; BenchmarkClosePair compares.)
func closePair(buf []byte, start, middle int) []byte {
	key, value := middle-start-2, len(buf)-middle
	if key+1 < 0x80 && value < 0x80 {
		buf[start], buf[start+1] = byte(key+1), byte(value)
		return buf
	}
	return closeLongPair(buf, start, middle)
}

func closeLongPair(buf []byte, start, middle int) []byte {
	key, value := middle-start-2, len(buf)-middle
	end := len(buf)
	if more := uvarintLen(uint64(key)+1) + uvarintLen(uint64(value)) - 2; more > 0 {
		var room [2 * binary.MaxVarintLen64]byte
		buf = append(buf, room[:more]...)
		copy(buf[start+2+more:], buf[start+2:end])
	}
	n := binary.PutUvarint(buf[start:], uint64(key)+1)
	binary.PutUvarint(buf[start+n:], uint64(value))
	return buf
}

func uvarintLen(x uint64) int { return (bits.Len64(x|1) + 6) / 7 }
