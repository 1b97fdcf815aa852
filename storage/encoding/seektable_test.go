package encoding

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"testing"
)

// tableOf loads the seek table of an object in memory.
func tableOf(t testing.TB, data []byte) *SeekTable {
	t.Helper()
	table, err := LoadTable(int64(len(data)), func(off, n int64) ([]byte, error) { return data[off : off+n], nil })
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// ownFrames returns the plain bytes of the frames that begin in a piece, and their offset.
func ownFrames(d *Decoder, t *SeekTable, data []byte, begin, end int64) ([]byte, int64, error) {
	d.ResetFrames(t, bytes.NewReader(data[t.Begin(begin):]), begin, end)
	plain, err := io.ReadAll(d)
	if at, ok := d.Boundary(); ok {
		plain = plain[:min(int(at), len(plain))]
	}
	return plain, d.Base(), err
}

// The seek table that pyzstd wrote is found; cut at every byte or into pieces of any size the object gives each of its frames once,
// in order, with its offset.
func TestSeekTable(t *testing.T) {
	t.Parallel()
	data, want, d := golden(t, "seekable.zst"), golden(t, "text"), NewDecoder(Limits{})
	table := tableOf(t, data)
	if table == nil || table.Plain() != int64(len(want)) || len(table.packed) != 9 {
		t.Fatalf("table %+v", table)
	}
	size := int64(len(data))
	for _, split := range []int64{1, 2, 17, 228, 229, 500, size - 1, size} {
		var got []byte
		for begin := int64(0); begin < size; begin += split {
			part, base, err := ownFrames(d, table, data, begin, min(size, begin+split))
			if err != nil || len(part) > 0 && base != int64(len(got)) {
				t.Fatalf("split %d, piece at %d: %d bytes at %d, %v", split, begin, len(part), base, err)
			}
			got = append(got, part...)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("split %d: got %d bytes, want %d", split, len(got), len(want))
		}
	}
}

// A table is used only if it is one and its frames fill the object; other objects have none. One with checksums has longer entries,
// and one larger than what is read at first is read as a whole.
func TestTablesThatDoNotFit(t *testing.T) {
	t.Parallel()
	data := golden(t, "seekable.zst")
	for _, name := range []string{"one.zst", "frames.zst", "empty.zst", "one.gz"} {
		if tableOf(t, golden(t, name)) != nil {
			t.Errorf("%s has a table", name)
		}
	}
	foot := len(data) - tableFoot
	for name, change := range map[string]func(b []byte) []byte{
		"another magic":       func(b []byte) []byte { b[len(b)-1]++; return b },
		"a reserved bit":      func(b []byte) []byte { b[foot+4] |= 0x40; return b },
		"checksums":           func(b []byte) []byte { b[foot+4] |= 0x80; return b },
		"one frame more":      func(b []byte) []byte { b[foot]++; return b },
		"many frames":         func(b []byte) []byte { binary.LittleEndian.PutUint32(b[foot:], 1<<31); return b },
		"a longer frame":      func(b []byte) []byte { b[foot-8]++; return b },
		"another frame magic": func(b []byte) []byte { b[foot-8*8-8]++; return b },
		"another size":        func(b []byte) []byte { b[foot-8*8-4]++; return b },
		"something before it": func(b []byte) []byte { return append([]byte{0}, b...) },
		"the end alone":       func(b []byte) []byte { return b[foot:] },
	} {
		if tableOf(t, change(slices.Clone(data))) != nil {
			t.Errorf("%s: the table passes", name)
		}
	}
	for _, each := range []int{8, 12} {
		const frames = 1000
		table := binary.LittleEndian.AppendUint32(nil, tableMagic)
		table = binary.LittleEndian.AppendUint32(table, uint32(frames*each+tableFoot))
		for range frames {
			table = append(table, []byte{5, 0, 0, 0, 7, 0, 0, 0, 1, 2, 3, 4}[:each]...)
		}
		table = binary.LittleEndian.AppendUint32(table, frames)
		table = append(table, byte(each-8)<<5)
		table = binary.LittleEndian.AppendUint32(table, footerMagic)
		got := tableOf(t, append(make([]byte, 5*frames), table...))
		if got == nil || got.Plain() != 7*frames || got.Begin(11) != 15 || got.Begin(1<<40) != 5*frames {
			t.Errorf("a table of %d bytes an entry: %v", each, got != nil)
		}
	}
	boom := errors.New("boom")
	if _, err := LoadTable(100, func(int64, int64) ([]byte, error) { return nil, boom }); err != boom {
		t.Errorf("got %v", err)
	}
}

// A table that lies about its frames, and a frame that is damaged or cut off, are errors.
func TestFramesThatAreNotAsTheTableSays(t *testing.T) {
	t.Parallel()
	data, d := golden(t, "seekable.zst"), NewDecoder(Limits{})
	good := tableOf(t, data)
	for name, change := range map[string]func(*SeekTable){
		"fewer plain bytes": func(s *SeekTable) { s.plain[1]-- },
		"more plain bytes":  func(s *SeekTable) { s.plain[1]++ },
		"a shorter frame":   func(s *SeekTable) { s.packed[1]-- },
		"a longer frame":    func(s *SeekTable) { s.packed[1]++ },
	} {
		bad := &SeekTable{slices.Clone(good.packed), slices.Clone(good.plain)}
		change(bad)
		if _, _, err := ownFrames(d, bad, data, 0, 228); !errors.Is(err, ErrData) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for n := good.packed[2]; n < good.packed[3]; n++ {
		d.ResetFrames(good, bytes.NewReader(data[good.packed[2]:n]), good.packed[2], good.packed[3])
		if _, err := io.ReadAll(d); !errors.Is(err, ErrData) {
			t.Errorf("cut off at %d: got %v", n, err)
		}
	}
}
