package console

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/arrowfile"
	"github.com/millrace/millrace/storage/manifest"
	"github.com/millrace/millrace/storage/memstore"
	"github.com/millrace/millrace/storage/output"
)

// committed is an output of parts of the given words each.
func committed(t *testing.T, parts ...[]string) (*storage.Store, *output.Output) {
	t.Helper()
	st := storage.New(storage.Options{Schemes: map[string]storage.Opener{"mem": memstore.Opener()}, Attempts: 1})
	put := func(name string, body []byte) {
		if err := st.Put(t.Context(), "mem://x/out/"+name, body, false); err != nil {
			t.Fatal(err)
		}
	}
	m := &manifest.Manifest{Version: manifest.Version}
	for i, list := range parts {
		var b bytes.Buffer
		w, err := arrowfile.NewWriter(&b, wordSchema(), arrowfile.Options{})
		if err == nil && len(list) > 0 {
			err = w.Write(words(list...))
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Close(); err != nil {
			t.Fatal(err)
		}
		put(manifest.PartName(i), b.Bytes())
		m.Parts = append(m.Parts, manifest.Part{Name: manifest.PartName(i), Bytes: int64(b.Len()), Rows: int64(len(list))})
		m.Rows += int64(len(list))
	}
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	put(manifest.Name, b)
	out, err := output.Open(t.Context(), st, "mem://x/out")
	if err != nil {
		t.Fatal(err)
	}
	return st, out
}

// Cat writes the rows of all parts in order, up to the limit, with one header, in every format; a table says how many rows it
// left out.
func TestCat(t *testing.T) {
	t.Parallel()
	_, out := committed(t, []string{"a", "b"}, nil, []string{"c"})
	for _, tt := range []struct {
		o    RowOptions
		want string
	}{
		{RowOptions{Format: FormatCSV}, "word,n\na,0\nb,1000\nc,0\n"},
		{RowOptions{Format: FormatCSV, Limit: 1}, "word,n\na,0\n"},
		{RowOptions{Format: FormatCSV, Limit: 2}, "word,n\na,0\nb,1000\n"},
		{RowOptions{Format: FormatNDJSON, Limit: 3}, `{"word":"a","n":0}` + "\n" + `{"word":"b","n":1000}` + "\n" + `{"word":"c","n":0}` + "\n"},
	} {
		var b bytes.Buffer
		if err := Cat(t.Context(), &b, out, tt.o); err != nil || b.String() != tt.want {
			t.Errorf("%+v: got %q, %v, want %q", tt.o, b.String(), err, tt.want)
		}
	}
	var b bytes.Buffer
	if err := Cat(t.Context(), &b, out, RowOptions{Limit: 2}); err != nil || !strings.HasSuffix(b.String(), "… 1 more row\n") {
		t.Errorf("table: got %q, %v", b.String(), err)
	}
}

// An output without rows has its header all the same.
func TestCatNoRows(t *testing.T) {
	t.Parallel()
	_, out := committed(t, nil, nil)
	for format, want := range map[string]string{FormatCSV: "word,n\n", FormatNDJSON: "", FormatTable: "word"} {
		var b bytes.Buffer
		if err := Cat(t.Context(), &b, out, RowOptions{Format: format}); err != nil || !strings.Contains(b.String(), want) || want == "" && b.Len() > 0 {
			t.Errorf("%s: got %q, %v", format, b.String(), err)
		}
	}
}

// What goes wrong is told: a format that does not fit, a part that is gone (after the rows before it), a writer that fails.
func TestCatFails(t *testing.T) {
	t.Parallel()
	st, out := committed(t, []string{"a"}, []string{"b"})
	var b bytes.Buffer
	if err := Cat(t.Context(), &b, out, RowOptions{Format: FormatRaw}); err == nil || !strings.Contains(err.Error(), "format raw: the rows are word utf8, n int64") {
		t.Errorf("raw: %v", err)
	}
	if err := Cat(t.Context(), brokenPipe{}, out, RowOptions{Format: FormatNDJSON}); !errors.Is(err, errPipe) {
		t.Errorf("got %v, want the writer's error", err)
	}
	if err := st.Remove(t.Context(), "mem://x/out/part-00001.arrow"); err != nil {
		t.Fatal(err)
	}
	b.Reset()
	err := Cat(t.Context(), &b, out, RowOptions{Format: FormatNDJSON})
	if !errors.Is(err, storage.ErrNotFound) || b.String() != `{"word":"a","n":0}`+"\n" {
		t.Errorf("got %q, %v", b.String(), err)
	}
}
