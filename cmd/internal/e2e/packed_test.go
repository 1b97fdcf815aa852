package e2e

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/jobs/grep"
	"github.com/millrace/millrace/jobs/sortrecords"
	"github.com/millrace/millrace/jobs/wordcount"
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
	p := inMemory()
	plain, packed := packedBooks(t, p)
	b := &bench{place: p}
	run := func(o millrace.Options, job string) *product {
		t.Helper()
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
