package encoding

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// fuzzLimit bounds what a fuzzer's bomb may come to.
const fuzzLimit = 1 << 20

// Whatever the bytes are, a Decoder gives plain ones or an ErrData, within its limit, and the same for a source that is slow.
func FuzzDecoder(f *testing.F) {
	for _, name := range names(f) {
		if data := golden(f, name); len(data) < 3000 {
			f.Add(data)
		}
	}
	d := NewDecoder(Limits{Window: 8 << 20, Plain: fuzzLimit})
	f.Fuzz(func(t *testing.T, data []byte) {
		kind := Detect(data)
		if !kind.Packed() {
			return
		}
		d.Reset(kind, bytes.NewReader(data))
		got, err := io.ReadAll(d)
		if err != nil && !errors.Is(err, ErrData) {
			t.Errorf("got %v", err)
		}
		if len(got) > fuzzLimit+(64<<10) {
			t.Errorf("got %d bytes", len(got))
		}
	})
}

// Whatever the bytes are, the pieces of a bzip2 object that is whole are the object, and those of one that is not have an error or
// are what the blocks that are left hold.
func FuzzBzip2Pieces(f *testing.F) {
	for _, name := range []string{"blocks.bz2", "streams.bz2", "one.bz2", "empty.bz2"} {
		f.Add(golden(f, name), uint16(200))
	}
	d := NewDecoder(Limits{Plain: fuzzLimit})
	f.Fuzz(func(t *testing.T, data []byte, split uint16) {
		if Detect(data) != Bzip2 {
			return
		}
		want, err := decode(d, data)
		whole := err == nil
		var got []byte
		step := max(int64(split), int64(len(data)/8), 1)
		for begin := int64(0); begin < int64(len(data)); begin += step {
			part, err := own(d, Bzip2, data, begin, min(int64(len(data)), begin+step))
			if err != nil && (whole || !errors.Is(err, ErrData)) {
				t.Fatalf("piece at %d: %v", begin, err)
			}
			got = append(got, part...)
		}
		if whole && !bytes.Equal(got, want) {
			t.Errorf("got %d bytes, want %d", len(got), len(want))
		}
	})
}

// Whatever the bytes are, a seek table is one that fits, or none; its frames are read, or an ErrData.
func FuzzSeekTable(f *testing.F) {
	f.Add(golden(f, "seekable.zst"), uint16(200))
	f.Add(golden(f, "frames.zst"), uint16(1))
	d := NewDecoder(Limits{Window: 8 << 20, Plain: fuzzLimit})
	f.Fuzz(func(t *testing.T, data []byte, at uint16) {
		table := tableOf(t, data)
		if table == nil {
			return
		}
		if last := table.packed[len(table.packed)-1]; last > int64(len(data)) {
			t.Fatalf("frames of %d bytes in an object of %d", last, len(data))
		}
		got, base, err := ownFrames(d, table, data, int64(at), int64(at)+100)
		if err != nil && !errors.Is(err, ErrData) || err == nil && base+int64(len(got)) > table.Plain() {
			t.Errorf("%d bytes at %d, %v", len(got), base, err)
		}
	})
}
