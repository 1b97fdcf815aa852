package parquetfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"

	"github.com/apache/arrow/go/v15/parquet"

	"github.com/millrace/millrace/storage/arrowfile"
)

// The encodings of values.
const (
	encodingPlain           = 0
	encodingPlainDictionary = 2
	encodingRLE             = 3
	encodingBitPacked       = 4
	encodingDelta           = 5
	encodingDeltaLength     = 6
	encodingDeltaBytes      = 7
	encodingDictionary      = 8
	encodingByteStreamSplit = 9
)

var errValues = errors.New("fewer values than its header says")

// plainSize is the bytes of a value of a physical type; 0 for those without a fixed number of whole bytes.
func plainSize(t parquet.Type, length int) int {
	switch t {
	case parquet.Types.Int32, parquet.Types.Float:
		return 4
	case parquet.Types.Int64, parquet.Types.Double:
		return 8
	case parquet.Types.Int96:
		return 12
	case parquet.Types.FixedLenByteArray:
		return length
	}
	return 0
}

// checkPlain reports plain values that end before the nth.
func checkPlain(t parquet.Type, length, n int, data []byte) error {
	switch t {
	case parquet.Types.Boolean:
		if len(data) < (n+7)/8 {
			return errValues
		}
		return nil
	case parquet.Types.ByteArray:
		for range n {
			if len(data) < 4 {
				return errValues
			}
			size := binary.LittleEndian.Uint32(data)
			if int64(size) > int64(len(data)-4) {
				return errValues
			}
			data = data[4+size:]
		}
		return nil
	}
	if int64(len(data)) < int64(n)*int64(plainSize(t, length)) {
		return errValues
	}
	return nil
}

// checkPositions reports positions in a dictionary of size values that end before the nth or lie outside.
func checkPositions(n, size int, data []byte) error {
	if n == 0 {
		return nil
	}
	if len(data) == 0 || data[0] > 32 {
		return errValues
	}
	r := runs{data: data[1:], width: uint(data[0])}
	var buf [1024]uint32
	for n > 0 {
		if r.left == 0 && !r.next() {
			return errValues
		}
		k := min(n, r.left)
		if r.packed == nil {
			r.left -= k
			buf[0], n = r.value, n-k
			k = 1
		} else {
			k = min(k, len(buf))
			r.fill(buf[:k])
			n -= k
		}
		for _, p := range buf[:k] {
			if int64(p) >= int64(size) {
				return fmt.Errorf("position %d in a dictionary of %d values", p, size)
			}
		}
	}
	return nil
}

// toPlain decodes the encodings that Arrow v15 does not have, or believes too much, into plain ones. What it makes is taken from
// the budget.
func toPlain(encoding int32, t parquet.Type, length, n int, data []byte, b *arrowfile.Budget) ([]byte, error) {
	size := plainSize(t, length)
	switch {
	case encoding == encodingDelta && (t == parquet.Types.Int32 || t == parquet.Types.Int64):
		if err := b.Take(int64(n) * int64(size)); err != nil {
			return nil, err
		}
		out := make([]byte, 0, n*size)
		_, err := decodeDelta(data, n, func(v int64) {
			if size == 4 {
				out = binary.LittleEndian.AppendUint32(out, uint32(v))
			} else {
				out = binary.LittleEndian.AppendUint64(out, uint64(v))
			}
		})
		return out, err
	case encoding == encodingDeltaLength && t == parquet.Types.ByteArray:
		return plainLengths(data, n, b)
	case encoding == encodingDeltaBytes && (t == parquet.Types.ByteArray || t == parquet.Types.FixedLenByteArray):
		return plainPrefixes(data, n, t, length, b)
	case encoding == encodingByteStreamSplit && size > 0:
		if int64(len(data)) < int64(n)*int64(size) {
			return nil, errValues
		}
		if err := b.Take(int64(n) * int64(size)); err != nil {
			return nil, err
		}
		out := make([]byte, n*size)
		for j := range size {
			for i := range n {
				out[i*size+j] = data[j*n+i]
			}
		}
		return out, nil
	}
	return nil, fmt.Errorf("encoding %d of values of type %s: not known to this version", encoding, t)
}

// decodeDelta decodes n numbers that are stored as differences, and returns the bytes behind them.
//
// Source: https://parquet.apache.org/docs/file-format/data-pages/encodings/#DELTAENC
func decodeDelta(data []byte, n int, each func(int64)) ([]byte, error) {
	t := &thrift{data: data} // which has the same numbers of variable length
	block, minis, total, value := t.uvarint(), t.uvarint(), t.uvarint(), t.varint()
	if t.err != nil || minis == 0 || block%minis != 0 || block/minis%8 != 0 || block > math.MaxInt32 || total != uint64(n) {
		return nil, errValues
	}
	if n > 0 {
		each(value)
	}
	for left, size := n-1, int(block/minis); left > 0; {
		least := t.varint()
		widths := t.bytes(minis)
		for _, width := range widths {
			if left <= 0 {
				break // what is not needed has a width, but no bytes
			}
			packed := t.bytes(uint64(size/8) * uint64(width))
			if width > 64 || t.err != nil {
				return nil, errValues
			}
			k := min(left, size)
			for i := range k {
				value += least + int64(bitsAt(packed, i*int(width), uint(width)))
				each(value)
			}
			left -= k
		}
		if t.err != nil || size == 0 {
			return nil, errValues
		}
	}
	return t.data, nil
}

// bitsAt is a number of up to 64 bits that begins at a bit of data.
func bitsAt(data []byte, bit int, width uint) uint64 {
	if width == 0 {
		return 0
	}
	var v uint64
	at, shift := bit>>3, uint(bit&7)
	for i := 0; i < 9 && at+i < len(data) && uint(8*i) < width+shift; i++ {
		b := uint64(data[at+i])
		if i == 0 {
			v = b >> shift
		} else {
			v |= b << (uint(8*i) - shift)
		}
	}
	if width < 64 {
		v &= 1<<width - 1
	}
	return v
}

// decodeLengths decodes n lengths, and returns them with the bytes behind them.
func decodeLengths(data []byte, n int, b *arrowfile.Budget) ([]int32, []byte, error) {
	if err := b.Take(4 * int64(n)); err != nil {
		return nil, nil, err
	}
	lengths, bad := make([]int32, 0, n), false
	rest, err := decodeDelta(data, n, func(v int64) {
		// Arithmetic is modulo 2^32 where numbers of 32 bits are meant.
		length := int32(v)
		bad = bad || length < 0
		lengths = append(lengths, length)
	})
	if err == nil && bad {
		err = errValues
	}
	return lengths, rest, err
}

func plainLengths(data []byte, n int, b *arrowfile.Budget) ([]byte, error) {
	lengths, rest, err := decodeLengths(data, n, b)
	if err != nil {
		return nil, err
	}
	if err := b.Take(int64(len(rest)) + 4*int64(n)); err != nil {
		return nil, err
	}
	out := make([]byte, 0, len(rest)+4*n)
	for _, size := range lengths {
		if int(size) > len(rest) {
			return nil, errValues
		}
		out = append(binary.LittleEndian.AppendUint32(out, uint32(size)), rest[:size]...)
		rest = rest[size:]
	}
	return out, nil
}

// plainPrefixes decodes values of which each begins as the one before it.
func plainPrefixes(data []byte, n int, t parquet.Type, length int, b *arrowfile.Budget) ([]byte, error) {
	prefixes, rest, err := decodeLengths(data, n, b)
	if err != nil {
		return nil, err
	}
	suffixes, rest, err := decodeLengths(rest, n, b)
	if err != nil {
		return nil, err
	}
	var size int64
	for i := range n {
		size += int64(prefixes[i]) + int64(suffixes[i]) + 4
	}
	if err := b.Take(size); err != nil {
		return nil, err
	}
	out := make([]byte, 0, size)
	var last []byte
	for i := range n {
		prefix, suffix := int(prefixes[i]), int(suffixes[i])
		if prefix > len(last) || suffix > len(rest) {
			return nil, errValues
		}
		if t == parquet.Types.ByteArray {
			out = binary.LittleEndian.AppendUint32(out, uint32(prefix+suffix))
		} else if prefix+suffix != length {
			return nil, errValues
		}
		begin := len(out)
		out = append(append(out, last[:prefix]...), rest[:suffix]...)
		last, rest = out[begin:], rest[suffix:]
	}
	return out, nil
}

// levelWidth is the bits of a level up to most.
func levelWidth(most int) uint { return uint(bits.Len(uint(most))) }
