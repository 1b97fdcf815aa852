package verify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/arrowfile"
	"github.com/millrace/millrace/storage/localstore"
	"github.com/millrace/millrace/storage/manifest"
	"github.com/millrace/millrace/storage/memstore"
	"github.com/millrace/millrace/storage/storagetest"
)

const folder = "mem://b/out"

// written is an output in memory whose bucket can be told to fail, and the manifest that is still to be written.
type written struct {
	*testing.T
	store *storage.Store
	bad   *storagetest.FaultyBackend
	m     manifest.Manifest
}

var (
	numbers = arrowfile.Schema{Fields: []arrowfile.Field{{Name: "n", Type: arrowfile.TypeInt64}}}
	texts   = arrowfile.Schema{Fields: []arrowfile.Field{{Name: "text", Type: arrowfile.TypeString, Nullable: true}}}
)

// file is an Arrow file with batches of so many numbers.
func file(t testing.TB, batches ...int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := arrowfile.NewWriter(&b, numbers, arrowfile.Options{})
	for _, rows := range batches {
		err = errors.Join(err, w.Write(arrowfile.Batch{Rows: rows, Columns: []arrowfile.Column{{Data: make([]byte, 8*rows)}}}))
	}
	_, e := w.Close()
	if err = errors.Join(err, e); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// textFile is an Arrow file of another schema, of one row.
func textFile(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := arrowfile.NewWriter(&b, texts, arrowfile.Options{Compression: "zstd"})
	err = errors.Join(err, w.Write(arrowfile.Batch{Rows: 1, Columns: []arrowfile.Column{{Offsets: []int32{0, 2}, Data: []byte("hm")}}}))
	_, e := w.Close()
	if err = errors.Join(err, e); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func newOutput(t *testing.T) *written {
	t.Helper()
	w := &written{T: t, bad: storagetest.Faulty(memstore.New())}
	w.store = storage.New(storage.Options{
		Schemes: map[string]storage.Opener{"mem": w.bad.Opener()}, Attempts: 3, Backoff: 1, MaxBackoff: 1,
	})
	schema, err := json.Marshal(numbers)
	if err != nil {
		t.Fatal(err)
	}
	side, err := json.Marshal(texts)
	if err != nil {
		t.Fatal(err)
	}
	w.m = manifest.Manifest{Version: manifest.Version, ID: "0f843ea0", Job: "count", Schema: schema, Outputs: []manifest.Output{{Name: "rejected", Schema: side}}}
	return w
}

func (w *written) put(name string, body []byte) {
	w.Helper()
	if err := w.store.Put(w.Context(), folder+"/"+name, body, false); err != nil {
		w.Fatal(err)
	}
}

// part writes a part that the manifest names.
func (w *written) part(name string, rows int64, body []byte) {
	w.Helper()
	w.put(name, body)
	w.name(name, rows, body)
}

func (w *written) name(name string, rows int64, body []byte) {
	p := manifest.Part{Name: name, Rows: rows, Bytes: int64(len(body)), CRC32C: crc32.Checksum(body, castagnoli)}
	if strings.Contains(name, "/") {
		o := &w.m.Outputs[0]
		o.Parts, o.Rows, o.Bytes = append(o.Parts, p), o.Rows+rows, o.Bytes+p.Bytes
		return
	}
	w.m.Parts, w.m.Rows, w.m.Bytes = append(w.m.Parts, p), w.m.Rows+rows, w.m.Bytes+p.Bytes
}

// check writes the manifest and checks the output.
func (w *written) check(o Options) *Report {
	w.Helper()
	body, err := w.m.Encode()
	if err != nil {
		w.Fatal(err)
	}
	w.put(manifest.Name, body)
	r, err := Output(w.Context(), w.store, folder, o)
	if err != nil {
		w.Fatal(err)
	}
	return r
}

// good writes an output of three parts, two of them alike, and of one in a folder below.
func (w *written) good() {
	w.Helper()
	w.part("part-00000.arrow", 5, file(w, 2, 3))
	w.part("part-00001.arrow", 5, file(w, 5))
	w.part("part-00002.arrow", 0, file(w))
	w.part("rejected/part-00000.arrow", 1, textFile(w))
}

// A whole output is good, with the numbers of what was read, whatever is beside it that is nobody's part: hidden files, files
// of other kinds, another output in a folder below.
func TestGood(t *testing.T) {
	t.Parallel()
	w := newOutput(t)
	w.good()
	w.put(".millrace-0f/map-0.arrow", []byte("a run"))
	w.put("README.md", []byte("mine"))
	w.put("_stages/001-links/part-00000.arrow", []byte("of a chain that was stopped"))
	w.put("other/A.arrow", []byte("sorts before the manifest beside it"))
	w.put("other/_SUCCESS", []byte("{}"))
	w.put("other/deep/part-00000.arrow", []byte("another output's"))
	w.put("part-00000.arrow.bak", []byte("no Arrow file by its name"))
	var last, total int64
	r := w.check(Options{Parallel: 2, Progress: func(read, all int64) {
		if read < last || read > all {
			t.Errorf("progress went from %d to %d of %d", last, read, all)
		}
		last, total = read, all
	}})
	var want int64
	for p := range w.m.All() {
		want += p.Bytes
	}
	if !r.OK || r.Count != 0 || r.Parts != 4 || r.Good != 4 || r.Rows != 11 || r.Bytes != want || r.Job != "count" || r.ID != "0f843ea0" || r.Output != folder {
		t.Errorf("got %+v, want 4 good parts of %d bytes", r, want)
	}
	if last != want || total != want {
		t.Errorf("progress ended at %d of %d, want %d", last, total, want)
	}
}

// Each thing that can be wrong is found by its kind, at the right name, and nothing else is.
func TestProblems(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(w *written)
		kind   Kind
		at     string
		text   string
	}{
		{"a part is gone", func(w *written) { w.store.Remove(w.Context(), folder+"/part-00001.arrow") }, Missing, "part-00001.arrow", "not there"},
		{"a part below is gone", func(w *written) { w.store.Remove(w.Context(), folder+"/rejected/part-00000.arrow") }, Missing, "rejected/part-00000.arrow", "not there"},
		{"cut short", func(w *written) { w.put("part-00000.arrow", file(w, 2, 3)[:99]) }, Size, "part-00000.arrow", "has 99 bytes"},
		{"a value changed", func(w *written) {
			body := file(w, 2, 3)
			body[bytes.Index(body, make([]byte, 16))] ^= 1
			w.put("part-00000.arrow", body)
		}, Checksum, "part-00000.arrow", "CRC32C"},
		{"not Arrow", func(w *written) { w.part("part-00003.arrow", 0, []byte("abc")) }, Content, "part-00003.arrow", "too few for an Arrow file"},
		{"other columns", func(w *written) { w.part("part-00003.arrow", 1, textFile(w)) }, Schema, "part-00003.arrow",
			`its column 1 is "text" utf8, nullable: want "n" int64, as the manifest says`},
		{"other columns below", func(w *written) { w.part("rejected/part-00001.arrow", 5, file(w, 5)) }, Schema, "rejected/part-00001.arrow",
			`want "text" utf8, nullable, as the manifest says`},
		{"fewer rows", func(w *written) { w.m.Parts[1].Rows, w.m.Rows = 6, w.m.Rows+1 }, Rows, "part-00001.arrow", "has 5 rows, the manifest says 6"},
		{"an extra part", func(w *written) { w.put("part-00007.arrow", []byte("old")) }, Extra, "part-00007.arrow", "3 bytes"},
		{"an extra part below", func(w *written) { w.put("errors/part-00000.arrow", []byte("old")) }, Extra, "errors/part-00000.arrow", "3 bytes"},
		{"an extra file of any name", func(w *written) { w.put("copy of part.arrow", []byte("old")) }, Extra, "copy of part.arrow", "3 bytes"},
		{"totals", func(w *written) { w.m.Rows++ }, Manifest, manifest.Name, "states 11 rows"},
		{"a part twice", func(w *written) {
			p := w.m.Parts[2]
			w.m.Parts, w.m.Bytes = append(w.m.Parts, p), w.m.Bytes+p.Bytes
		}, Manifest, "part-00002.arrow", "twice"},
		{"a name that leads out", func(w *written) { w.m.Parts = append(w.m.Parts, manifest.Part{Name: "../secret.arrow"}) }, Manifest, "../secret.arrow", "no name of a file"},
		{"an absolute name", func(w *written) { w.m.Parts = append(w.m.Parts, manifest.Part{Name: "/part.arrow"}) }, Manifest, "/part.arrow", "no name of a file"},
		{"negative", func(w *written) {
			w.m.Parts, w.m.Rows = append(w.m.Parts, manifest.Part{Name: "p.arrow", Rows: -1}), w.m.Rows-1
		}, Manifest, "p.arrow", "-1 rows"},
		{"a side output's rows", func(w *written) { w.m.Outputs[0].Rows++ }, Manifest, manifest.Name, "2 rows and 538 bytes in all of output rejected"},
		{"another output's folder", func(w *written) { w.m.Parts = append(w.m.Parts, manifest.Part{Name: "x/p.arrow"}) }, Manifest, "x/p.arrow", "output's folder"},
		{"a side output's schema", func(w *written) { w.m.Outputs[0].Schema = json.RawMessage("7") }, Manifest, manifest.Name, "schema of output rejected"},
		{"no schema", func(w *written) { w.m.Schema = json.RawMessage(`"x"`) }, Manifest, manifest.Name, "schema cannot be read"},
		{"another version", func(w *written) { w.m.Version = 99 }, Manifest, manifest.Name, "version 99"},
		{"not to be read", func(w *written) {
			w.bad.Plan(storagetest.Fault{Op: storagetest.OpRead, Key: "out/part-00001.arrow", Times: -1, Err: storage.ErrDenied})
		}, Read, "part-00001.arrow", "access denied"},
		{"a bit flips on the way", func(w *written) {
			w.bad.Plan(storagetest.Fault{Op: storagetest.OpRead, Key: "out/part-00002.arrow", Kind: storagetest.Flip, After: 6})
		}, Checksum, "part-00002.arrow", "CRC32C"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newOutput(t)
			w.good()
			c.change(w)
			r := w.check(Options{})
			if r.OK || r.Count != 1 || len(r.Problems) != 1 {
				t.Fatalf("got %+v, want one problem", r)
			}
			if p := r.Problems[0]; p.Kind != c.kind || p.Name != c.at || !strings.Contains(p.Text, c.text) {
				t.Errorf("got %+v, want %s of %s with %q", p, c.kind, c.at, c.text)
			}
			if changed := strings.HasPrefix(c.at, "part-0000") || strings.HasPrefix(c.at, "rejected"); c.kind != Extra && c.kind != Manifest && changed && r.Good != r.Parts-1 {
				t.Errorf("%d good parts of %d", r.Good, r.Parts)
			}
		})
	}
}

// A folder without a manifest, and one whose manifest another program wrote, are reports with that one problem; one that
// cannot be asked for is an error.
func TestNoManifest(t *testing.T) {
	t.Parallel()
	w := newOutput(t)
	w.put("part-00000.arrow", file(t, 1))
	r, err := Output(t.Context(), w.store, folder+"/", Options{})
	if err != nil || r.Count != 1 || r.Problems[0].Kind != Missing || r.Problems[0].Name != manifest.Name {
		t.Errorf("without a manifest: %+v, %v", r, err)
	}
	w.put(manifest.Name, nil)
	r, err = Output(t.Context(), w.store, folder, Options{})
	if err != nil || r.Count != 1 || r.Problems[0].Kind != Manifest || !strings.Contains(r.Problems[0].Text, "another program") {
		t.Errorf("with Spark's manifest: %+v, %v", r, err)
	}
	w.bad.Plan(storagetest.Fault{Op: storagetest.OpRead, Times: -1, Err: storage.ErrDenied})
	if _, err = Output(t.Context(), w.store, folder, Options{}); !errors.Is(err, storage.ErrDenied) {
		t.Errorf("a manifest that may not be read: %v", err)
	}
	if _, err = Output(t.Context(), w.store, "s3:/x", Options{}); !errors.Is(err, storage.ErrBadURL) {
		t.Errorf("a bad URL: %v", err)
	}
}

// All problems are named, in the order of their names, whichever part was read first; of very many the rest is counted.
func TestAllProblems(t *testing.T) {
	t.Parallel()
	w := newOutput(t)
	body := file(t)
	const parts = MaxProblems + 7
	for i := range parts {
		w.name(fmt.Sprintf("part-%05d.arrow", i), 0, body)
	}
	r := w.check(Options{})
	if r.Count != parts || len(r.Problems) != MaxProblems || r.Good != 0 {
		t.Fatalf("got %d problems, %d named, %d good parts", r.Count, len(r.Problems), r.Good)
	}
	for i, p := range r.Problems[1:] {
		if p.Kind != Missing || p.Name <= r.Problems[i].Name {
			t.Fatalf("problem %d is %+v, after %s", i+1, p, r.Problems[i].Name)
		}
	}
}

// A storage that fails for a while is asked again; one that ends in the midst of a part is a problem of that part; the end of
// the context is the check's end.
func TestFailures(t *testing.T) {
	t.Parallel()
	w := newOutput(t)
	w.good()
	w.check(Options{})
	w.bad.Plan(
		storagetest.Fault{Op: storagetest.OpRead, Every: 2, Times: 4, Kind: storagetest.Cut, After: 30},
		storagetest.Fault{Op: storagetest.OpList, Kind: storagetest.SlowDown},
	)
	if r := w.check(Options{Parallel: 1}); !r.OK || r.Good != 4 || w.bad.Hits() < 4 {
		t.Errorf("over failures: %+v, %d hits", r, w.bad.Hits())
	}
	w.bad.Plan(storagetest.Fault{Op: storagetest.OpRead, Key: "out/part-00000.arrow", Times: -1, Kind: storagetest.Cut, After: 0})
	if r := w.check(Options{}); r.Count != 1 || r.Problems[0].Kind != Read || r.Good != 3 {
		t.Errorf("a part that breaks off for ever: %+v", r)
	}
	w.bad.Plan()
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Output(ctx, w.store, folder, Options{Parallel: 1, Progress: func(int64, int64) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// A file that is overwritten while it is read is a problem of reading it, which says that somebody writes there.
func TestChangedUnderway(t *testing.T) {
	t.Parallel()
	w := newOutput(t)
	root := t.TempDir()
	w.store = storage.New(storage.Options{Schemes: map[string]storage.Opener{
		"mem": func(context.Context, string) (storage.Backend, error) {
			return localstore.New(localstore.Options{Root: root}), nil
		},
	}})
	body, name := large(t), filepath.Join(root, "out", "part-00000.arrow")
	w.part("part-00000.arrow", largeRows, body)
	old := time.Now().Add(-time.Hour) // writes within one tick of the file system's clock cannot be told apart
	if err := os.Chtimes(name, old, old); err != nil {
		t.Fatal(err)
	}
	changed := false
	r := w.check(Options{Parallel: 1, Progress: func(int64, int64) {
		if !changed {
			changed = true
			if err := os.WriteFile(name, body, 0o666); err != nil {
				t.Error(err)
			}
		}
	}})
	if r.Count != 1 || r.Problems[0].Kind != Read || !strings.Contains(r.Problems[0].Text, "somebody writes") {
		t.Errorf("got %+v", r)
	}
}
