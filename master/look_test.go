package master

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/encoding"
	"github.com/millrace/millrace/storage/storagetest"
)

// The plan knows objects that are not compressed by the name that storage/encoding has for them.
func TestEncodingNames(t *testing.T) {
	t.Parallel()
	if plan.PlainEncoding != string(encoding.Plain) {
		t.Errorf("%q is not %q", plan.PlainEncoding, encoding.Plain)
	}
}

// Only objects that would be cut are looked at, one request each, and a compressed one is one split; small ones cost none.
func TestPlanLooksAtLargeObjects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		defer l.end()
		var packed bytes.Buffer
		w := gzip.NewWriter(&packed)
		for i := range 10_000 {
			fmt.Fprintln(w, i*i)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		l.put("zip/a.log", packed.String())
		l.put("zip/b.gz", strings.Repeat("not what its name says\n", packed.Len()/23+1)) // about as large
		for i := range 50 {
			l.put(fmt.Sprintf("zip/small%02d", i), "\x1f\x8b\x08")
		}
		s := spec()
		s.Inputs, s.SplitSize = []string{"mem://b/zip/"}, int64(packed.Len()/4)
		before := l.bad.Calls(storagetest.OpRead)
		if _, err := listInputs(t.Context(), l.st, s); err != nil {
			t.Fatal(err)
		}
		before, listing := l.bad.Calls(storagetest.OpRead), l.bad.Calls(storagetest.OpRead)-before // it asks for the folder's manifest
		p, err := Plan(t.Context(), l.st, s)
		if err != nil {
			t.Fatal(err)
		}
		if n := l.bad.Calls(storagetest.OpRead) - before - listing; n != 2 {
			t.Errorf("%d objects are looked at, want 2", n)
		}
		pieces := map[string]int{}
		for i := range p.Maps {
			for _, piece := range p.Split(i).Pieces {
				pieces[piece.URL]++
			}
		}
		if pieces["mem://b/zip/a.log"] != 1 || pieces["mem://b/zip/b.gz"] < 4 || len(pieces) != 52 {
			t.Errorf("pieces: %v", pieces)
		}
		if notes := p.Notes(); len(notes) != 1 || notes[0].URL != "mem://b/zip/a.log" || notes[0].Encoding != "gzip" {
			t.Errorf("notes: %+v", notes)
		}
		i := slices.IndexFunc(p.Objects, func(o plan.Object) bool { return o.Encoding == plan.PlainEncoding })
		if i < 0 || p.Objects[i].URL != "mem://b/zip/b.gz" {
			t.Errorf("the plain object is %d of %+v", i, p.Objects)
		}
	})
}

// zstd that ends with a seek table is cut, at the price of one request more; zstd without one is not.
func TestPlanFindsSeekTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		defer l.end()
		for _, name := range []string{"seekable.zst", "one.zst"} {
			data, err := os.ReadFile("../storage/encoding/testdata/" + name)
			if err != nil {
				t.Fatal(err)
			}
			l.put("zst/"+name, string(data))
		}
		s := spec()
		s.Inputs, s.SplitSize = []string{"mem://b/zst/"}, 400
		before := l.bad.Calls(storagetest.OpRead)
		if _, err := listInputs(t.Context(), l.st, s); err != nil {
			t.Fatal(err)
		}
		before, listing := l.bad.Calls(storagetest.OpRead), l.bad.Calls(storagetest.OpRead)-before // it asks for the folder's manifest
		p, err := Plan(t.Context(), l.st, s)
		if err != nil {
			t.Fatal(err)
		}
		if n := l.bad.Calls(storagetest.OpRead) - before - listing; n != 4 {
			t.Errorf("%d requests, want 4", n)
		}
		if p.Maps != 6 || p.Objects[0].Encoding != "zstd" || p.Objects[1].Encoding != "seekable zstd" || len(p.Notes()) != 1 {
			t.Errorf("%d splits of %+v, notes %+v", p.Maps, p.Objects, p.Notes())
		}
	})
}

// A look that fails fails the plan, by name; an object that has changed since it was listed says so.
func TestPlanLookFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newWorld(t).lead(true)
		defer l.end()
		l.put("big/a", strings.Repeat("line\n", 1000))
		s := spec()
		s.Inputs, s.SplitSize = []string{"mem://b/big/"}, 100
		for _, fault := range []error{storage.ErrDenied, storage.ErrChanged} {
			l.bad.Plan(storagetest.Fault{Op: storagetest.OpRead, Key: "big/a", Err: fault, Times: -1})
			_, err := Plan(t.Context(), l.st, s)
			wantError(t, "a look", err, fault, "mem://b/big/a")
			if fault == storage.ErrChanged {
				wantError(t, "a look", err, fault, "input changed while the job was planned")
			}
		}
		l.bad.Plan()
	})
}
