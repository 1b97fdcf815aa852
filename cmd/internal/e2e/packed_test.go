package e2e

import (
	"bytes"
	"compress/gzip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/jobs/grep"
	"github.com/millrace/millrace/jobs/sortrecords"
	"github.com/millrace/millrace/jobs/wordcount"
	"github.com/millrace/millrace/storage/storagetest/python"
)

// packedBooks writes the books of testdata/text below a place's root, plain and by gzip, and returns the folders' URLs.
func packedBooks(t *testing.T, p place) (plain, packed string) {
	t.Helper()
	books, err := filepath.Glob("../../../testdata/text/*.txt")
	if err != nil || len(books) < 3 {
		t.Fatalf("books: %v, %v", books, err)
	}
	plain, packed = p.root+"/plain", p.root+"/packed"
	for _, name := range books[:3] {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		for len(text) > 0 { // members
			n := min(len(text), 200_000)
			if _, err := w.Write(text[:n]); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			w.Reset(&b)
			text = text[n:]
		}
		text, err = os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for url, data := range map[string][]byte{plain: text, packed: b.Bytes()} {
			if err := p.store.Put(t.Context(), url+"/"+filepath.Base(name), data, false); err != nil {
				t.Fatal(err)
			}
		}
	}
	return plain, packed
}

// Jobs over compressed books make what they make over the books, byte for byte, for every split size: counts, lines with their
// offsets, and lines in order, in one part; in several parts, whose boundaries come from a sample, at least for every split
// size the same.
func TestPackedBooks(t *testing.T) {
	rowsOnly(t)
	p := inMemory()
	plain, packed := packedBooks(t, p)
	run := func(o millrace.Options, job string) *product { return runPacked(t, p, o, job) }
	for _, job := range []string{"wordcount", "grep", "sort"} {
		want := run(millrace.Options{Inputs: []string{plain}, Reducers: 1}, job)
		for _, split := range []int64{1, 1000, 64 << 20} {
			got := run(millrace.Options{Inputs: []string{packed}, Reducers: 1, SplitSize: split}, job)
			d := diffRows(got.rows, want.rows)
			if job != "grep" {
				d = got.diff(want)
			}
			if d != "" && d != rowsEqual {
				t.Errorf("%s, split %d: %s", job, split, d)
			}
		}
	}
	want := run(millrace.Options{Inputs: []string{packed}, Reducers: 3}, "sort")
	for _, split := range []int64{1, 5000} {
		if d := run(millrace.Options{Inputs: []string{packed}, Reducers: 3, SplitSize: split}, "sort").diff(want); d != "" {
			t.Errorf("sort into 3 parts, split %d: %s", split, d)
		}
	}
}

// runPacked runs a job and returns what it makes, with the URLs of packed books as if they were plain.
func runPacked(t *testing.T, p place, o millrace.Options, job string) *product {
	t.Helper()
	b := &bench{place: p}
	o.Store, o.TempDir, o.Workers, o.Slots = p.store, t.TempDir(), 1, 2
	o.Output = p.root + "/out-" + job
	j := wordcount.Job()
	switch job {
	case "grep":
		j, o.Params = grep.Job(), map[string]string{"pattern": "the [a-z]*ing"}
	case "sort":
		j = sortrecords.Job()
	}
	if _, err := millrace.Run(t.Context(), j, o); err != nil {
		t.Fatal(err)
	}
	prog, err := j.Bind(o.Params)
	if err != nil {
		t.Fatal(err)
	}
	got, err := readProduct(t.Context(), p, o.Output, prog.Info().Schema)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.remove(t.Context(), o.Output, got); err != nil {
		t.Fatal(err)
	}
	for i := range got.rows { // grep's name the file
		for k, v := range got.rows[i] {
			if s, ok := v.(string); ok {
				got.rows[i][k] = strings.Replace(s, "/packed/", "/plain/", 1)
			}
		}
	}
	return got
}

// Books that Python's libraries compressed in all formats, in several members and frames, give the words and the sorted lines
// of the plain ones, byte for byte, whether they are cut or not.
func TestBooksOfOtherPrograms(t *testing.T) {
	rowsOnly(t)
	interpreter := python.Interpreter(t, "../../../storage/encoding/testdata/requirements.txt")
	dir := t.TempDir()
	for _, book := range []string{"tom-sawyer.txt", "opticks.txt"} {
		pack := exec.Command(interpreter, "../../../storage/encoding/testdata/pack.py", "../../../testdata/text/"+book, dir)
		if out, err := pack.CombinedOutput(); err != nil {
			t.Fatalf("pack: %v: %s", err, out)
		}
	}
	p := inFiles(t)
	for _, job := range []string{"wordcount", "sort"} {
		o := millrace.Options{Inputs: []string{"../../../testdata/text/tom-sawyer.txt", "../../../testdata/text/opticks.txt"}, Reducers: 1}
		want := runPacked(t, p, o, job)
		for _, format := range []string{"gz", "bz2", "zst", "lz4", "sz", "seekable"} {
			for _, split := range selection[int64](30_000, 7000, 64<<20) {
				o.Inputs, o.SplitSize = []string{dir + "/" + format}, split
				if d := runPacked(t, p, o, job).diff(want); d != "" {
					t.Errorf("%s of %s, split %d: %s", job, format, split, d)
				}
			}
		}
	}
}
