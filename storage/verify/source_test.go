package verify

import (
	"bytes"
	"errors"
	"hash/crc32"
	"io"
	"strings"
	"testing"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/arrowfile"
	"github.com/millrace/millrace/storage/storagetest"
)

const largeRows = 12 * 100_000

// large is an Arrow file that is not held whole.
func large(t testing.TB) []byte {
	t.Helper()
	var batches []int
	for range 12 {
		batches = append(batches, largeRows/12)
	}
	body := file(t, batches...)
	if len(body) <= smallPart {
		t.Fatalf("a large part has %d bytes", len(body))
	}
	return body
}

// A large part is good when its bytes are; it comes over the network once and its footer twice, in two requests.
func TestLargePartIsReadOnce(t *testing.T) {
	t.Parallel()
	w := newOutput(t)
	body := large(t)
	w.part("part-00000.arrow", largeRows, body)
	r := w.check(Options{})
	if !r.OK || r.Rows != largeRows || r.Bytes != int64(len(body)) {
		t.Errorf("got %+v", r)
	}
	if n := w.bad.Calls(storagetest.OpRead); n != 3 {
		t.Errorf("%d reads for the manifest and one part, want 3", n)
	}
}

// Damage anywhere in a large part is found, also where no batch lies; one whose rows cannot be read has its checksum
// compared all the same.
func TestLargePartDamaged(t *testing.T) {
	t.Parallel()
	body := large(t)
	for _, at := range []int{0, 7, 20, smallPart, len(body) / 2, len(body) - 100, len(body) - 1} {
		w := newOutput(t)
		w.part("part-00000.arrow", largeRows, body)
		damaged := bytes.Clone(body)
		damaged[at] ^= 0x40
		w.put("part-00000.arrow", damaged)
		r := w.check(Options{})
		if r.OK || r.Problems[0].Kind != Checksum {
			t.Errorf("byte %d: got %+v", at, r.Problems)
		}
	}
}

// A part whose batches are larger than those that are read side by side is read alone, and is good; with the limit of all
// readers it is a problem that says so.
func TestLargeBatch(t *testing.T) {
	t.Parallel()
	w := newOutput(t)
	for _, name := range []string{"part-00000.arrow", "part-00001.arrow", "part-00002.arrow"} {
		w.part(name, 5000, file(t, 5000))
	}
	w.part("part-00003.arrow", 3, file(t, 1, 2))
	r := w.check(Options{batchBytes: 10_000})
	if !r.OK || r.Good != 4 || r.Rows != 15_003 {
		t.Errorf("got %+v", r)
	}
	_, _, err := rowsIn(&source{info: storage.Info{Size: int64(len(file(t, 5000)))}, body: io.NopCloser(bytes.NewReader(file(t, 5000))), count: func(int) {}}, 10_000)
	if !errors.Is(err, arrowfile.ErrLimit) {
		t.Errorf("over the limit: %v", err)
	}
}

// A file that leads to the same bytes again and again is given up; one that leads behind its end is not followed.
func TestGreedy(t *testing.T) {
	t.Parallel()
	body := []byte(strings.Repeat("x", 1000))
	s := &source{info: storage.Info{Size: 1000}, body: io.NopCloser(bytes.NewReader(body)), count: func(int) {}}
	if err := s.begin(); err != nil {
		t.Fatal(err)
	}
	var err error
	reads := 0
	for p := make([]byte, 500); err == nil && reads < 100; reads++ {
		_, err = s.ReadAt(p, 250)
	}
	if !errors.Is(err, errGreedy) || reads != 7 {
		t.Errorf("after %d reads of half the file: %v", reads, err)
	}
	for _, off := range []int64{-1, 999, 1 << 62} {
		if _, err := s.ReadAt(make([]byte, 2), off); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("at %d: %v", off, err)
		}
	}
}

// Whatever bytes a part has, the check ends with a report; what it calls good is an Arrow file of the manifest's columns.
func FuzzPart(f *testing.F) {
	for _, body := range [][]byte{file(f), file(f, 1), file(f, 3, 5), textFile(f), []byte("ARROW1"), nil} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		w := newOutput(t)
		w.part("part-00000.arrow", 3, body)
		r := w.check(Options{batchBytes: 1 << 20})
		for _, p := range r.Problems {
			if p.Kind == Checksum || p.Kind == Missing || p.Kind == Read || p.Kind == Size {
				t.Fatalf("bytes that are the manifest's: %+v", p)
			}
		}
		if r.OK && r.Rows != 3 {
			t.Fatalf("good with %d rows", r.Rows)
		}
		if crc32.Checksum(body, castagnoli) != w.m.Parts[0].CRC32C {
			t.Fatal("the part was changed")
		}
	})
}
