package runfile

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// block is what a test writes: a payload of a partition.
type block struct {
	partition int
	payload   []byte
	pairs     int
}

func write(t testing.TB, partitions int, blocks ...block) ([]byte, Summary) {
	t.Helper()
	var b bytes.Buffer
	w := NewWriter(&b, partitions)
	for _, k := range blocks {
		if err := w.Block(k.partition, k.payload, k.pairs); err != nil {
			t.Fatalf("Block: %v", err)
		}
	}
	sum, err := w.Close()
	if err != nil {
		t.Fatalf("Close: %v", err)
	}
	if sum.Size != int64(b.Len()) {
		t.Errorf("Summary.Size %d of %d bytes", sum.Size, b.Len())
	}
	return b.Bytes(), sum
}

// readAll reads a section's payloads, and the error that ended them unless it is io.EOF.
func readAll(r *Reader) (payloads [][]byte, pairs int, err error) {
	for {
		p, n, err := r.Next(nil)
		if errors.Is(err, io.EOF) {
			return payloads, pairs, nil
		}
		if err != nil {
			return payloads, pairs, err
		}
		payloads, pairs = append(payloads, p), pairs+n
	}
}

func sample() []block {
	return []block{
		{0, []byte("alpha"), 1}, {0, []byte("beta"), 2},
		{2, []byte("gamma"), 1}, {2, []byte("delta"), 1}, {2, []byte("omega"), 3},
	}
}

// The bytes of version 1 never change: a worker may read the runs of another build.
func TestGolden(t *testing.T) {
	t.Parallel()
	got, sum := write(t, 4, sample()...)
	name := filepath.Join("testdata", "v1.run")
	if *update {
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got %x\nwant %x", got, want)
	}
	if want := uint64(0xaa37a7eb2e631bea); sum.Checksum != want {
		t.Errorf("checksum %#x, want %#x", sum.Checksum, want)
	}
}

// Every section comes back as written, by the whole index, by the tail alone and by a kept tail, for few and for many
// partitions (where the entry lies outside of the first read).
func TestSections(t *testing.T) {
	t.Parallel()
	for _, partitions := range []int{1, 3, 100, 101, 1000} {
		var blocks []block
		for p := 0; p < partitions; p += 2 {
			for b := range p%3 + 1 {
				blocks = append(blocks, block{p, fmt.Appendf(nil, "partition %d block %d", p, b), b + 1})
			}
		}
		data, sum := write(t, partitions, blocks...)
		file := bytes.NewReader(data)
		index, tail, err := ReadIndex(file, int64(len(data)))
		if err != nil {
			t.Fatalf("ReadIndex: %v", err)
		}
		if tail.Checksum != sum.Checksum || tail.Pairs != sum.Pairs || len(index) != partitions {
			t.Errorf("tail %+v of %+v", tail, sum)
		}
		for p := range partitions {
			s, _, err := ReadSection(file, int64(len(data)), p)
			if err != nil || s != index[p] {
				t.Fatalf("ReadSection(%d): %+v, %v; want %+v", p, s, err, index[p])
			}
			if kept, err := ReadSectionOf(file, tail, p); err != nil || kept != s {
				t.Fatalf("ReadSectionOf(%d): %+v, %v; want %+v", p, kept, err, s)
			}
			if text, err := ParseSection(s.Text(p), p); err != nil || text != s {
				t.Fatalf("ParseSection(%d): %+v, %v; want %+v", p, text, err, s)
			}
			checkSection(t, file, s, p, blocks)
		}
	}
}

func checkSection(t *testing.T, file io.ReaderAt, s Section, p int, blocks []block) {
	t.Helper()
	var want [][]byte
	pairs := 0
	for _, b := range blocks {
		if b.partition == p {
			want, pairs = append(want, b.payload), pairs+b.pairs
		}
	}
	got, n, err := readAll(NewReader(io.NewSectionReader(file, s.Offset, s.Length), s))
	if err != nil || n != pairs || !slices.EqualFunc(got, want, bytes.Equal) {
		t.Errorf("section %d: %q, %d pairs, %v; want %q, %d", p, got, n, err, want, pairs)
	}
}

// counted counts the reads it passes on.
type counted struct {
	r     io.ReaderAt
	reads int
}

func (c *counted) ReadAt(b []byte, at int64) (int, error) {
	c.reads++
	return c.r.ReadAt(b, at)
}

// A section is found with at most two reads, whatever the number of partitions.
func TestSectionReads(t *testing.T) {
	t.Parallel()
	for partitions, want := range map[int]int{50: 1, 100_000: 2} {
		data, _ := write(t, partitions, block{0, []byte("x"), 1})
		file := &counted{r: bytes.NewReader(data)}
		if _, _, err := ReadSection(file, int64(len(data)), 0); err != nil || file.reads != want {
			t.Errorf("%d partitions: %d reads, %v; want %d", partitions, file.reads, err, want)
		}
	}
}

// Any flipped bit of a run is found: in the section that it lies in, or in the index.
func TestFlippedBits(t *testing.T) {
	t.Parallel()
	data, _ := write(t, 4, sample()...)
	for at := range data {
		for bit := range 8 {
			bad := bytes.Clone(data)
			bad[at] ^= 1 << bit
			if err := readRun(bad); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("byte %d bit %d: error %v, want ErrCorrupt", at, bit, err)
			}
		}
	}
}

// readRun reads everything in a run.
func readRun(data []byte) error {
	file := bytes.NewReader(data)
	index, _, err := ReadIndex(file, int64(len(data)))
	if err != nil {
		return err
	}
	for _, s := range index {
		if _, _, err := readAll(NewReader(io.NewSectionReader(file, s.Offset, s.Length), s)); err != nil {
			return err
		}
	}
	return nil
}

// A section's stream that is cut, too long, re-ordered or of another section is an error, never io.EOF.
func TestWrongStreams(t *testing.T) {
	t.Parallel()
	data, _ := write(t, 4, sample()...)
	index, _, err := ReadIndex(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	s := index[2]
	body := data[s.Offset:][:s.Length]
	one := blockHeadSize + 5 // every block of this section is as long
	for n := range body {
		if _, _, err := readAll(NewReader(bytes.NewReader(body[:n]), s)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("cut at %d: error %v", n, err)
		}
	}
	for name, bad := range map[string][]byte{
		"long":       append(bytes.Clone(body), 0),
		"re-ordered": slices.Concat(body[one:2*one], body[:one], body[2*one:]),
		"repeated":   slices.Concat(body[:one], body[:one], body[2*one:]),
		"dropped":    slices.Concat(body[:one], body[2*one:]),
		"another's":  data[index[0].Offset:][:index[0].Length],
	} {
		if _, _, err := readAll(NewReader(bytes.NewReader(bad), s)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	other, _ := write(t, 4, block{2, []byte("gamma"), 1}, block{2, []byte("DELTA"), 1}, block{2, []byte("omega"), 3})
	if _, _, err := readAll(NewReader(bytes.NewReader(other[headerSize:][:s.Length]), s)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("another run's section: error %v", err)
	}
}

// After a stream broke, a reader goes on from the last verified block with the rest of the bytes.
func TestResume(t *testing.T) {
	t.Parallel()
	data, _ := write(t, 4, sample()...)
	s, _, err := ReadSection(bytes.NewReader(data), int64(len(data)), 2)
	if err != nil {
		t.Fatal(err)
	}
	body := data[s.Offset:][:s.Length]
	for cut := range body {
		r := NewReader(bytes.NewReader(body[:cut]), s)
		head, _, err := readAll(r)
		if err == nil {
			t.Fatalf("cut at %d: no error", cut)
		}
		r.Resume(bytes.NewReader(body[r.Verified():]))
		rest, _, err := readAll(r)
		if got := string(bytes.Join(append(head, rest...), nil)); err != nil || got != "gammadeltaomega" {
			t.Errorf("cut at %d: %q, %v", cut, got, err)
		}
	}
}

// A block header that promises 64 MiB in a short stream costs a step of memory, not 64 MiB. (It measures the process, so it is not parallel.)
func TestFalseLength(t *testing.T) {
	big := bytes.Repeat([]byte("x"), 32<<20)
	data, _ := write(t, 1, block{0, big, 1})
	s, _, err := ReadSection(bytes.NewReader(data), int64(len(data)), 0)
	if err != nil {
		t.Fatal(err)
	}
	if got, _, err := readAll(NewReader(bytes.NewReader(data[s.Offset:][:s.Length]), s)); err != nil || !bytes.Equal(got[0], big) {
		t.Errorf("large block: %v", err)
	}
	short := data[s.Offset:][:100]
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, _, err := NewReader(bytes.NewReader(short), s).Next(nil); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a cut large block: error %v", err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 4*readStep {
		t.Errorf("%d bytes allocated for 100 bytes of input", n)
	}
}

// A writer refuses what its reader would refuse, and reports a failed write.
func TestWriterRefuses(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]func() error{
		"no partitions":   func() error { return NewWriter(io.Discard, 0).Block(0, []byte("x"), 1) },
		"many partitions": func() error { _, err := NewWriter(io.Discard, MaxPartitions+1).Close(); return err },
		"empty block":     func() error { return NewWriter(io.Discard, 1).Block(0, nil, 0) },
		"long block":      func() error { return NewWriter(io.Discard, 1).Block(0, make([]byte, MaxBlock+1), 1) },
		"beyond the last": func() error { return NewWriter(io.Discard, 1).Block(1, []byte("x"), 1) },
		"negative":        func() error { return NewWriter(io.Discard, 1).Block(-1, []byte("x"), 1) },
		"too many pairs":  func() error { return NewWriter(io.Discard, 1).Block(0, []byte("x"), 2) },
		"descending order": func() error {
			w := NewWriter(io.Discard, 3)
			_ = w.Block(2, []byte("x"), 1)
			return w.Block(1, []byte("x"), 1)
		},
		"failing disk": func() error { return NewWriter(failing{}, 1).Block(0, []byte("x"), 1) },
		"closed twice": func() error { w := NewWriter(io.Discard, 1); _, _ = w.Close(); _, err := w.Close(); return err },
	} {
		if err := f(); err == nil || !strings.HasPrefix(err.Error(), "write run") {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if err := NewWriter(failing{}, 1).Block(0, []byte("x"), 1); !errors.Is(err, errDisk) {
		t.Errorf("the cause is lost: %v", err)
	}
}

var errDisk = errors.New("no space left on device")

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errDisk }

// Equal blocks give equal checksums; another byte, cut or place of a block gives another.
func TestChecksum(t *testing.T) {
	t.Parallel()
	seen := map[uint64]string{}
	for name, blocks := range map[string][]block{
		"base":            {{0, []byte("ab"), 1}, {1, []byte("c"), 1}},
		"other byte":      {{0, []byte("aB"), 1}, {1, []byte("c"), 1}},
		"other cut":       {{0, []byte("a"), 1}, {0, []byte("b"), 0}, {1, []byte("c"), 1}},
		"other pairs":     {{0, []byte("ab"), 2}, {1, []byte("c"), 1}},
		"other partition": {{0, []byte("ab"), 1}, {2, []byte("c"), 1}},
		"empty":           {},
	} {
		_, sum := write(t, 3, blocks...)
		if _, again := write(t, 3, blocks...); again != sum {
			t.Errorf("%s: %+v, then %+v", name, sum, again)
		}
		if other := seen[sum.Checksum]; other != "" {
			t.Errorf("%s and %s have the same checksum", name, other)
		}
		seen[sum.Checksum] = name
	}
}

// Reading hostile bytes ends in an error or in a whole run, never in a panic or in memory beyond the input's size.
func FuzzRun(f *testing.F) {
	golden, err := os.ReadFile(filepath.Join("testdata", "v1.run"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden)
	f.Add(golden[:len(golden)-1])
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, data []byte) {
		for p := range 5 {
			s, _, err := ReadSection(bytes.NewReader(data), int64(len(data)), p)
			if err == nil {
				_, _, _ = readAll(NewReader(io.NewSectionReader(bytes.NewReader(data), s.Offset, s.Length), s))
			}
		}
		_ = readRun(data)
	})
}

// A section's stream and its entry are hostile independently: the reader hands out no more than the stream holds.
func FuzzSection(f *testing.F) {
	data, _ := write(f, 4, sample()...)
	s, _, err := ReadSection(bytes.NewReader(data), int64(len(data)), 2)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data[s.Offset:][:s.Length], s.Length, s.Pairs, s.Sum, s.Blocks)
	f.Add([]byte{}, int64(1)<<40, int64(1), uint64(1), uint32(1)<<31)
	f.Fuzz(func(t *testing.T, body []byte, length, pairs int64, sum uint64, blocks uint32) {
		s := Section{Offset: headerSize, Length: length, Pairs: pairs, Sum: sum, Blocks: blocks}
		if _, err := parseEntry(s.append(nil, 1), 1); err != nil {
			return
		}
		got, _, err := readAll(NewReader(bytes.NewReader(body), s))
		if n := len(bytes.Join(got, nil)); n > len(body) {
			t.Errorf("%d bytes out of %d", n, len(body))
		}
		if err == nil && int64(len(body)) != length {
			t.Errorf("%d bytes are a whole section of %d", len(body), length)
		}
	})
}

func BenchmarkWriter(b *testing.B) {
	payload := bytes.Repeat([]byte("0123456789abcdef"), BlockSize/16)
	w := NewWriter(io.Discard, 1)
	b.SetBytes(BlockSize)
	b.ReportAllocs()
	for b.Loop() {
		if err := w.Block(0, payload, 1); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReader(b *testing.B) {
	payload := bytes.Repeat([]byte("0123456789abcdef"), BlockSize/16)
	var blocks []block
	for range 64 {
		blocks = append(blocks, block{0, payload, 1})
	}
	data, _ := write(b, 1, blocks...)
	s, _, err := ReadSection(bytes.NewReader(data), int64(len(data)), 0)
	if err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 0, BlockSize)
	b.SetBytes(s.Length)
	b.ReportAllocs()
	for b.Loop() {
		r := NewReader(bytes.NewReader(data[s.Offset:][:s.Length]), s)
		for {
			if _, _, err := r.Next(buf); err != nil {
				break
			}
		}
	}
}
