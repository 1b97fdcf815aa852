package encoding

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// own returns the plain bytes of what begins in a piece of an object: those before the boundary. All is read to the end.
func own(d *Decoder, kind Kind, data []byte, begin, end int64) ([]byte, error) {
	d.ResetPiece(kind, bytes.NewReader(data[begin:]), begin, end)
	plain, err := io.ReadAll(d)
	if at, ok := d.Boundary(); ok {
		plain = plain[:at]
	}
	return plain, err
}

// Cut at every byte, or into pieces of any size, a bzip2 object gives each of its blocks once and in order, each in the piece in
// which it begins: blocks of one stream and of several ones, and blocks that hold the magic of another block, or of the end, in
// their data.
func TestBzip2Pieces(t *testing.T) {
	t.Parallel()
	d := NewDecoder(Limits{})
	for name, want := range map[string][]int{ // how many plain bytes come of each block
		"blocks.bz2":       nil,
		"streams.bz2":      {1000, 1234, 766},
		"planted.bz2":      nil,
		"planted-ends.bz2": nil,
		"empty.bz2":        {},
	} {
		data := golden(t, name)
		plain, err := decode(d, data)
		if err != nil {
			t.Fatal(err)
		}
		size := int64(len(data))
		splits := []int64{size / 7, size / 3, size/2 + 1, size - 1, size}
		if testing.Short() {
			splits = splits[1:3]
		}
		if size < 2000 {
			splits = append(splits, 1, 2, 3, 50, 101)
		}
		for _, split := range splits {
			var got []byte
			var sizes []int
			for begin := int64(0); begin < size; begin += max(1, split) {
				part, err := own(d, Bzip2, data, begin, min(size, begin+max(1, split)))
				if err != nil {
					t.Fatalf("%s, split %d, piece at %d: %v", name, split, begin, err)
				}
				if len(part) > 0 {
					sizes = append(sizes, len(part))
				}
				got = append(got, part...)
			}
			if !bytes.Equal(got, plain) {
				t.Errorf("%s, split %d: got %d bytes, want %d", name, split, len(got), len(plain))
			}
			if split == 1 && want != nil && !slices.Equal(sizes, want) {
				t.Errorf("%s: blocks of %v bytes, want %v", name, sizes, want)
			}
			if name == "blocks.bz2" && split == 1 && len(sizes) != 4 {
				t.Errorf("%s: %d blocks, want 4", name, len(sizes))
			}
		}
	}
}

// The planted magics are where they were meant to be, so that the test above proves something: a piece from just before such a one
// to just behind it has no block in it.
func TestPlantedMagics(t *testing.T) {
	t.Parallel()
	d := NewDecoder(Limits{})
	for name, magic := range map[string]uint64{"planted.bz2": blockMagic, "planted-ends.bz2": endMagic} {
		data := golden(t, name)
		w := window{r: bytes.NewReader(data)}
		planted := 0
		for bit := int64(0); ; bit++ {
			first, ok := w.bits48(bit)
			if !ok {
				break
			}
			const apart = magicBits + crcBits + 1 + 24 + 16 + 3*16 // from a block's begin to the map's fourth sixteenth part; three others come before
			if second, ok := w.bits48(bit + apart); ok && first == blockMagic && second == magic {
				planted++
				begin := (bit + apart) / 8
				if part, err := own(d, Bzip2, data, begin, begin+2); err != nil || len(part) > 0 {
					t.Errorf("%s: at the magic in bit %d begin %d bytes: %v", name, bit+apart, len(part), err)
				}
			}
		}
		if planted < 3 {
			t.Errorf("%s: %d magics are planted", name, planted)
		}
	}
}

// A block that is damaged fails the piece before it as well as its own or, if its own passes over it, only that: a job that reads
// all pieces never misses it.
func TestBzip2DamageIsNotPassedOver(t *testing.T) {
	t.Parallel()
	data, d := golden(t, "blocks.bz2"), NewDecoder(Limits{})
	const split = 150
	var want []byte
	for bit := 0; bit < 8*len(data); bit += stride(5) {
		bad := slices.Clone(data)
		bad[bit/8] ^= 1 << (bit % 8)
		var got []byte
		var failed error
		for begin := int64(0); begin < int64(len(bad)) && failed == nil; begin += split {
			d.ResetPiece(Bzip2, bytes.NewReader(bad[begin:]), begin, min(begin+split, int64(len(bad))))
			buf := make([]byte, 1000)
			for { // as far as a reader of lines goes, which is a little beyond the boundary
				n, err := d.Read(buf)
				got = append(got, buf[:n]...)
				if at, ok := d.Boundary(); ok {
					total := int64(len(got)) - (d.plain - at)
					got = got[:total]
					failed = d.Verify()
					break
				}
				if err == io.EOF {
					break
				}
				if failed = err; err != nil {
					break
				}
			}
		}
		if want == nil {
			want = plainOf(t, "blocks.bz2")
		}
		if failed == nil && !bytes.Equal(got, want) {
			t.Errorf("bit %d: got %d other bytes and no error", bit, len(got))
		}
		if failed != nil && !errors.Is(failed, ErrData) {
			t.Errorf("bit %d: got %v", bit, failed)
		}
	}
}

// A source that fails while a piece looks for its first block fails the piece: it is not taken for an empty one.
func TestBzip2SourceFails(t *testing.T) {
	t.Parallel()
	data, d := golden(t, "planted.bz2"), NewDecoder(Limits{})
	boom := errors.New("boom")
	for _, good := range []int{0, 1, 100, 5000, 12000} {
		d.ResetPiece(Bzip2, io.MultiReader(bytes.NewReader(data[100:100+good]), iotest.ErrReader(boom)), 100, 13000)
		if _, err := io.ReadAll(d); err != boom {
			t.Errorf("after %d bytes: got %v", good, err)
		}
	}
}

// No magic lies in itself or the other one, moved by up to seven bits: where a block ends is never in doubt.
func TestMagicsDoNotOverlap(t *testing.T) {
	t.Parallel()
	for _, a := range []uint64{blockMagic, endMagic} {
		for _, b := range []uint64{blockMagic, endMagic} {
			for shift := 1; shift < 8; shift++ {
				if mask := uint64(1)<<(magicBits-shift) - 1; a&mask == b>>shift {
					t.Errorf("%x begins %d bits into %x", b, shift, a)
				}
			}
		}
	}
}

// Of what cannot be cut a piece says so.
func TestPieceOfUncut(t *testing.T) {
	t.Parallel()
	d := NewDecoder(Limits{})
	d.ResetPiece(Gzip, strings.NewReader("x"), 0, 1)
	if _, err := d.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "cannot be cut") {
		t.Errorf("got %v", err)
	}
}
