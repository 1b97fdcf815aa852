package shuffle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/runfile"
)

// memStore is a Store over objects in memory.
type memStore map[string][]byte

func (m memStore) Read(_ context.Context, url string, off, n int64, _ string) (io.ReadCloser, storage.Info, error) {
	data, ok := m[url]
	if !ok {
		return nil, storage.Info{}, fmt.Errorf("read %s: %w", url, storage.ErrNotFound)
	}
	return io.NopCloser(io.NewSectionReader(bytes.NewReader(data), off, n)), storage.Info{}, nil
}

// addFile serves the run that a file is.
func addFile(s *Server, id, path, job string, largest int) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	f := &RunFile{s, job, &shelf{path: path, file: file}, info.Size()}
	s.mu.Lock()
	s.shelves[job] = append(s.shelves[job], f.shelf)
	s.mu.Unlock()
	return f.Keep(id, largest)
}

// startServer serves one run of the given pairs under the id "run" of job "job".
func startServer(t *testing.T, partitions int, pairs []pair) (s *Server, url string, run madeRun, path string) {
	t.Helper()
	run = makeRuns(t, partitions, [][]pair{pairs})[0]
	path = filepath.Join(t.TempDir(), "run")
	if err := os.WriteFile(path, run.data, 0o600); err != nil {
		t.Fatal(err)
	}
	s = NewServer()
	if err := addFile(s, "run", path, "job", 0); err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	return s, h.URL, run, path
}

// The server answers as its table says, and serves exactly the section's bytes from where they are asked for.
func TestServer(t *testing.T) {
	t.Parallel()
	_, url, run, _ := startServer(t, 3, randomPairs(1, 5000))
	index, _, err := runfile.ReadIndex(bytes.NewReader(run.data), run.Size)
	if err != nil {
		t.Fatal(err)
	}
	s := index[1]
	body := string(run.data[s.Offset : s.Offset+s.Length])
	for _, c := range []struct {
		method, path, ranges string
		status               int
		body                 string
	}{
		{"GET", "/runs/run?partition=1", "", 200, body},
		{"GET", "/runs/run?partition=1", "bytes=1000-", 206, body[1000:]},
		{"GET", "/runs/run?partition=1", "bytes=10-19", 206, body[10:20]},
		{"HEAD", "/runs/run?partition=1", "", 200, ""},
		{"POST", "/runs/run?partition=1", "", 405, "only GET and HEAD\n"},
		{"GET", "/runs/run?partition=3", "", 400, "partition: want 0 to 2\n"},
		{"GET", "/runs/run?partition=-1", "", 400, "partition: want 0 to 2\n"},
		{"GET", "/runs/run", "", 400, "partition: want 0 to 2\n"},
		{"GET", "/runs/other?partition=1", "", 404, "no such run\n"},
		{"GET", "/runs/../run?partition=1", "", 404, "no such run\n"},
		{"GET", "/", "", 404, "no such run\n"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, url+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.ranges != "" {
			req.Header.Set("Range", c.ranges)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil || resp.StatusCode != c.status || string(got) != c.body {
			t.Errorf("%s %s %s: status %d, %d bytes, %v; want %d, %d", c.method, c.path, c.ranges, resp.StatusCode, len(got), err, c.status, len(c.body))
		}
		if c.status < 300 && resp.Header.Get(sectionHeader) != s.Text(1) {
			t.Errorf("%s %s: section %s", c.method, c.path, resp.Header.Get(sectionHeader))
		}
	}
}

// Dropping a job removes its runs' files and nothing else; an id is used once; what is no run is refused.
func TestServerDrop(t *testing.T) {
	t.Parallel()
	s, url, run, path := startServer(t, 1, randomPairs(1, 10))
	other := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(other, run.data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := addFile(s, "run", other, "another job", 0); err == nil {
		t.Error("an id was taken twice")
	}
	if err := os.WriteFile(other, run.data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := addFile(s, "other", other, "another job", 0); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Drop("job"), s.Drop("job"), s.Drop("never seen")); err != nil {
		t.Errorf("Drop: %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the run's file: %v", err)
	}
	open := HTTPOpener{http.DefaultClient}
	run.URL = url + "/runs/run"
	if _, err := open.Open(t.Context(), run.Run, 0, 0); !errors.Is(err, ErrNoRun) {
		t.Errorf("the dropped run: %v", err)
	}
	run.URL = url + "/runs/other"
	o, err := open.Open(t.Context(), run.Run, 0, 0)
	if err != nil {
		t.Fatalf("the other job's run: %v", err)
	}
	o.Body.Close()
	if err := os.WriteFile(other, []byte("this is not a run, but as long as one, about: 0123456789 0123456789 0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := addFile(s, "bad", other, "job", 0); !errors.Is(err, runfile.ErrCorrupt) {
		t.Errorf("no run: %v", err)
	}
	if _, err := open.Open(t.Context(), run.Run, 0, 0); err == nil || errors.Is(err, ErrNoRun) || !strings.Contains(err.Error(), "500") {
		t.Errorf("a broken run: %v", err)
	}
	if err := os.Remove(other); err != nil {
		t.Fatal(err)
	}
	if _, err := open.Open(t.Context(), run.Run, 0, 0); !errors.Is(err, ErrNoRun) {
		t.Errorf("a run whose file is gone: %v", err)
	}
}

// Many small sections go over few connections.
func TestConnectionsAreKept(t *testing.T) {
	t.Parallel()
	made := makeRuns(t, 1, someMaps(200, 10))
	s := NewServer()
	h := httptest.NewUnstartedServer(s)
	var connections atomic.Int32
	h.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	h.Start()
	defer h.Close()
	runs := onlyRuns(made)
	for i, m := range made {
		path := filepath.Join(t.TempDir(), "run")
		id := fmt.Sprint(i)
		if err := errors.Join(os.WriteFile(path, m.data, 0o600), addFile(s, id, path, "job", 0)); err != nil {
			t.Fatal(err)
		}
		runs[i].URL = h.URL + "/runs/" + id
	}
	client := newClient()
	defer client.CloseIdleConnections()
	if _, _, err := readMerged(t, ReaderOptions{Open: HTTPOpener{client}}, runs); err != nil {
		t.Fatal(err)
	}
	if n := connections.Load(); n > 2*maxParallel {
		t.Errorf("%d connections for %d sections", n, len(runs))
	}
}

// A real connection that is cut, an answer of another length or without the run's checksum, and statuses other than 404
// are errors that may be tried again.
func TestHTTPOpenerFaults(t *testing.T) {
	t.Parallel()
	_, url, run, _ := startServer(t, 1, randomPairs(1, 20_000))
	run.URL = url + "/runs/run"
	for name, handler := range map[string]http.HandlerFunc{
		"500":         func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "disk on fire", 500) },
		"no section":  func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") },
		"no checksum": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set(sectionHeader, runfile.Section{}.Text(0)) },
		"long": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(sectionHeader, runfile.Section{}.Text(0))
			w.Header().Set("ETag", `"0123456789abcdef"`)
			fmt.Fprint(w, "more than the section")
		},
		"hang up": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		bad := httptest.NewServer(handler)
		defer bad.Close()
		_, err := HTTPOpener{bad.Client()}.Open(t.Context(), Run{URL: bad.URL + "/runs/x"}, 0, 0)
		if err == nil || errors.Is(err, ErrNoRun) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	// A proxy that hangs up in the middle of every answer: the fetch still ends, block by block.
	client := newClient()
	defer client.CloseIdleConnections()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o, err := HTTPOpener{client}.Open(r.Context(), run.Run, 0, offset(r))
		if err != nil {
			http.Error(w, err.Error(), 500)
			return
		}
		defer o.Body.Close()
		w.Header().Set(sectionHeader, o.Section.Text(0))
		w.Header().Set("ETag", fmt.Sprintf(`"%016x"`, o.Checksum))
		w.Header().Set("Content-Length", fmt.Sprint(o.Section.Length-offset(r)))
		if offset(r) > 0 {
			w.WriteHeader(http.StatusPartialContent)
		}
		if _, err := io.CopyN(w, o.Body, runfile.BlockSize+1000); err == nil {
			panic(http.ErrAbortHandler)
		}
	}))
	defer proxy.Close()
	cut := run.Run
	cut.URL = proxy.URL
	want := section([][]pair{randomPairs(1, 20_000)}, 0, 1)
	got, _, err := readMerged(t, ReaderOptions{Open: HTTPOpener{proxy.Client()}}, []Run{cut})
	if err != nil || len(got) != len(want) {
		t.Errorf("%d pairs of %d, %v", len(got), len(want), err)
	}
}

// offset is where the range that a request asks for begins.
func offset(r *http.Request) (at int64) {
	_, _ = fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &at) // 0 without a range
	return at
}

// Each opener gives the same section from the same place, and says in one way that there is no run.
func TestOpenersAgree(t *testing.T) {
	t.Parallel()
	s, url, run, path := startServer(t, 200, randomPairs(1, 5000))
	store := memStore{"s3://bucket/run": run.data}
	own := s.Opener("http://worker:1", store)
	for name, c := range map[string]struct {
		open      Opener
		url, none string
	}{
		"http":      {HTTPOpener{http.DefaultClient}, url + "/runs/run", url + "/runs/none"},
		"file":      {FileOpener{}, "file://" + path, "file://" + path + ".none"},
		"store":     {StoreOpener{store}, "s3://bucket/run", "s3://bucket/none"},
		"any own":   {own, "http://worker:1/runs/run", "http://worker:1/runs/none"},
		"any http":  {own, url + "/runs/run", url + "/runs/none"},
		"any store": {own, "s3://bucket/run", "s3://bucket/none"},
	} {
		for p := range 200 {
			section, _, err := runfile.ReadSection(bytes.NewReader(run.data), run.Size, p)
			if err != nil {
				t.Fatal(err)
			}
			for _, from := range []int64{0, section.Length / 2} {
				r := run.Run
				r.URL = c.url
				o, err := c.open.Open(t.Context(), r, p, from)
				if err != nil {
					t.Fatalf("%s: section %d from %d: %v", name, p, from, err)
				}
				got, err := io.ReadAll(o.Body)
				want := run.data[section.Offset+from : section.Offset+section.Length]
				if err = errors.Join(err, o.Body.Close()); err != nil || !bytes.Equal(got, want) || o.Section != section || o.Checksum != run.Checksum {
					t.Fatalf("%s: section %d from %d: %+v, %v", name, p, from, o, err)
				}
			}
		}
		r := run.Run
		r.URL = c.none
		if _, err := c.open.Open(t.Context(), r, 0, 0); !errors.Is(err, ErrNoRun) {
			t.Errorf("%s: error %v, want ErrNoRun", name, err)
		}
	}
}
