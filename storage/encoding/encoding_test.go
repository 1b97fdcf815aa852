package encoding

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// golden reads a file of testdata.
func golden(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// names lists the compressed files of testdata.
func names(t testing.TB) []string {
	t.Helper()
	var out []string
	for _, ending := range []string{"gz", "bz2", "zst", "lz4", "sz"} {
		found, err := filepath.Glob("testdata/*." + ending)
		if err != nil || len(found) == 0 {
			t.Fatalf("no *.%s in testdata: %v", ending, err)
		}
		for _, f := range found {
			out = append(out, filepath.Base(f))
		}
	}
	return out
}

// plainOf is what a file of testdata holds.
func plainOf(t testing.TB, name string) []byte {
	t.Helper()
	switch {
	case strings.HasPrefix(name, "empty"), strings.HasPrefix(name, "skipped"):
		return nil
	case strings.HasPrefix(name, "blocks"):
		var b bytes.Buffer
		for i := range 120_000 {
			fmt.Fprintln(&b, i/1000)
		}
		return b.Bytes()
	case strings.HasPrefix(name, "planted"):
		var b bytes.Buffer
		for i := range 12_000 {
			fmt.Fprintf(&b, "%d %s\n", i+1, map[bool]string{true: `BCGIOQSTWZ]^acfgiklo`, false: `CEFGIJKNQUWZ[\achk`}[name == "planted.bz2"])
		}
		return b.Bytes()
	}
	return golden(t, "text")
}

// stride is the step of a loop over all bits or bytes of an object, each of which takes a decompression: with -short, as under the race
// detector, of which code in one goroutine has nothing to fear, it is a long one.
func stride(step int) int {
	if testing.Short() {
		return step*20 + 1
	}
	return step
}

// decode decompresses all of an object as its first bytes say.
func decode(d *Decoder, data []byte) ([]byte, error) {
	d.Reset(Detect(data), bytes.NewReader(data))
	return io.ReadAll(d)
}

// The files of gzip, bzip2, zstd, lz4, cramjam and pyzstd, with members, frames, padding and user data of all sorts, are the
// text that they were made of, also from a source that gives a byte at a time and with a Decoder that was used before.
func TestFilesOfOtherPrograms(t *testing.T) {
	t.Parallel()
	d := NewDecoder(Limits{})
	kinds := map[string][]Kind{".gz": {Gzip}, ".bz2": {Bzip2}, ".zst": {Zstd, Skippable}, ".lz4": {LZ4, Skippable}, ".sz": {Snappy}}
	for _, name := range names(t) {
		data, want := golden(t, name), plainOf(t, name)
		kind := Detect(data)
		if !slices.Contains(kinds[filepath.Ext(name)], kind) {
			t.Errorf("%s: Detect says %q", name, kind)
		}
		for source, src := range map[string]io.Reader{"whole": bytes.NewReader(data), "byte by byte": iotest.OneByteReader(bytes.NewReader(data)),
			"the end with the last bytes": iotest.DataErrReader(bytes.NewReader(data))} {
			d.Reset(kind, src)
			if got, err := io.ReadAll(d); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s, %s: got %d bytes and %v, want %d", name, source, len(got), err, len(want))
			}
			if d.Taken() != int64(len(data)) {
				t.Errorf("%s, %s: %d bytes are taken of %d", name, source, d.Taken(), len(data))
			}
		}
	}
}

// An object that ends at any byte but between its members gives an error that says so: never fewer bytes and no error. Where it
// may end, which no reader can know to be too early, was counted by hand.
func TestTruncation(t *testing.T) {
	t.Parallel()
	ends := map[string][]int{
		"members.gz":   {440, 460, 1056},
		"streams.bz2":  {455, 469, 1103},
		"frames.zst":   {12, 459, 472, 484, 1101, 1540},
		"seekable.zst": {228, 443, 667, 896, 1171, 1442, 1703, 1858},
		"frames.lz4":   {12, 670, 685, 697, 1597},
		"one.sz":       {10},
		"streams.sz":   {10, 617, 627, 1468, 1478},
	}
	d := NewDecoder(Limits{})
	for n := 1240; n < 1940; n++ {
		ends["padded.gz"] = append(ends["padded.gz"], n) // zeros
	}
	for _, name := range names(t) {
		data, want := golden(t, name), plainOf(t, name)
		var whole []int
		step, edge := stride(1), 40
		if testing.Short() {
			edge = 8
		}
		if filepath.Ext(name) == ".bz2" { // of which each takes milliseconds
			step = stride(37 + len(data)/30)
		}
		for n := 1; n < len(data); n++ {
			if n > edge && n < len(data)-edge && n%step != 0 && !slices.Contains(ends[name], n) {
				continue
			}
			got, err := decode(d, data[:n])
			switch {
			case Detect(data[:n]) == Plain: // of a few bytes nobody can tell
				if n >= 5 {
					t.Errorf("%s, %d bytes: the beginning is not recognised", name, n)
				}
			case err == nil:
				whole = append(whole, n)
				if !bytes.HasPrefix(want, got) {
					t.Errorf("%s, %d bytes: got %d bytes that are not those of the text", name, n, len(got))
				}
			case !errors.Is(err, ErrData) || !strings.Contains(err.Error(), "cut off") || !strings.Contains(err.Error(), fmt.Sprint("byte ", n)):
				t.Errorf("%s, %d bytes: got %v", name, n, err)
			}
		}
		if !slices.Equal(whole, ends[name]) {
			t.Errorf("%s passes when it ends at %v, want %v", name, whole, ends[name])
		}
	}
}

// Any bit that is turned gives an error or, where it does not matter, the right bytes; formats without a checksum cannot tell.
func TestBitFlips(t *testing.T) {
	t.Parallel()
	d := NewDecoder(Limits{})
	for _, name := range names(t) {
		data, want := golden(t, name), plainOf(t, name)
		if strings.HasPrefix(name, "blocks") || strings.HasPrefix(name, "unchecked") || strings.HasPrefix(name, "frames") ||
			strings.HasPrefix(name, "linked") || strings.HasPrefix(name, "seekable") {
			continue
		}
		step := 3
		if filepath.Ext(name) == ".bz2" { // of which each takes milliseconds
			step = 61
		}
		if len(data) > 10_000 {
			step = 2003
		}
		for bit := 0; bit < 8*len(data); bit += stride(step) {
			bad := slices.Clone(data)
			bad[bit/8] ^= 1 << (bit % 8)
			if got, err := decode(d, bad); err == nil && !bytes.Equal(got, want) {
				t.Errorf("%s, bit %d: got %d other bytes and no error", name, bit, len(got))
			}
		}
	}
}

// An object that comes to far more bytes than any honest one does is refused, with the flag that allows it; one of some
// thousands to one is not, nor is a bomb that is small all in all, nor anything within a limit that was asked for.
func TestBombs(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		limit, taken, plain int64
		bad                 bool
	}{
		{0, 1 << 20, 4 << 30, false},
		{0, 1 << 20, 11 << 30, true},
		{0, 10, 3 << 30, false},
		{0, 1 << 30, 5 << 40, true},
		{0, 1 << 30, 3 << 40, false},
		{8 << 40, 10, 5 << 40, false},
		{100, 1000, 101, true},
	} {
		d := NewDecoder(Limits{Plain: test.limit})
		d.Reset(Zstd, bytes.NewReader(nil))
		d.src.n, d.plain = test.taken, test.plain
		if err := d.checkSize(); (err != nil) != test.bad || err != nil && (!errors.Is(err, ErrData) || !strings.Contains(err.Error(), "--max-decompressed")) {
			t.Errorf("%+v: got %v", test, err)
		}
	}
	got, err := decode(NewDecoder(Limits{Plain: 1000}), golden(t, "one.zst"))
	if !errors.Is(err, ErrData) || len(got) > 3000 {
		t.Errorf("over a limit of 1000 bytes: %d bytes and %v", len(got), err)
	}
}

// What an error says of zstd data that ask for too much memory, or for a dictionary, tells what to do.
func TestZstdThatCannotBeRead(t *testing.T) {
	t.Parallel()
	// A frame's header alone: of a window of 2 GiB, and of a dictionary that nobody has.
	for want, data := range map[string]string{
		"need a window of more than 8 MiB": "\x28\xb5\x2f\xfd\x00\xa8\x01\x00\x00",
		"need a dictionary":                "\x28\xb5\x2f\xfd\x21\x07\x01\x08\x00\x00x",
	} {
		_, err := decode(NewDecoder(Limits{Window: 8 << 20}), []byte(data))
		if !errors.Is(err, ErrData) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
}
