package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/jobstest"
	"github.com/millrace/millrace/storage/storagetest/python"
	"github.com/millrace/millrace/storage/storagetest/servers"
)

// TestSideOutputsInBucket proves that side outputs in buckets of real S3 servers are the oracle's rows in the oracle's order: as
// millrace cat --side prints them, and as pyarrow reads the parts that _SUCCESS names, by an S3 client of its own.
func TestSideOutputsInBucket(t *testing.T) {
	rowsOnly(t)
	interpreter := python.Interpreter(t, filepath.Join("..", "..", "..", "storage", "arrowfile", "testdata", "requirements.txt"))
	eachServer(t, func(t *testing.T, s *servers.Server) {
		p := inBucket(t, "bucket", s)
		w := workload{name: "sides", job: sidesJob(), reducers: 3, files: []file{{"a", made(t, "text", 400_000)}, {"b", nasty()[4].data}}}
		in, err := w.write(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		want, err := jobstest.RunObjects(w.job, nil, objectsOf(w, in), w.reducers)
		if err != nil {
			t.Fatal(err)
		}
		out := p.root + "/out"
		_, err = millrace.Run(t.Context(), w.job, millrace.Options{
			Inputs: []string{in}, Output: out, Reducers: w.reducers, SplitSize: 100_000, Slots: 3, Store: p.store, TempDir: t.TempDir(),
		})
		if err != nil {
			t.Fatal(err)
		}
		code, err := w.job.Bind(nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, side := range code.Info().Outputs {
			lines := jsonLines(t, side.Schema, want.Outputs[side.Name])
			if strings.Count(lines, "\n") < 10 {
				t.Fatalf("%s has %d rows: this proves nothing", side.Name, strings.Count(lines, "\n"))
			}
			cat := command(t, s, buildBinary(t), "cat", out, "--side", side.Name, "--format", "ndjson", "--limit", "0")
			if cat != lines {
				t.Errorf("cat --side %s gives %d bytes, want %d: %.200s", side.Name, len(cat), len(lines), cat)
			}
			if read := command(t, s, interpreter, filepath.Join("testdata", "sides.py"), out, side.Name); read != lines {
				t.Errorf("pyarrow reads %d bytes of %s, want %d: %.200s", len(read), side.Name, len(lines), read)
			}
		}
	})
}

// TestCompressedInBucket proves that books which other programs compressed give, read from buckets of real S3 servers, the bytes that
// the plain ones give: whole, and cut where the format can be.
func TestCompressedInBucket(t *testing.T) {
	rowsOnly(t)
	interpreter := python.Interpreter(t, "../../../storage/encoding/testdata/requirements.txt")
	const book = "../../../testdata/text/opticks.txt"
	dir := t.TempDir()
	if out, err := exec.Command(interpreter, "../../../storage/encoding/testdata/pack.py", book, dir).CombinedOutput(); err != nil {
		t.Fatalf("pack: %v: %s", err, out)
	}
	eachServer(t, func(t *testing.T, s *servers.Server) {
		p := inBucket(t, "bucket", s)
		for _, job := range []string{"wordcount", "sort"} {
			want := runPacked(t, p, millrace.Options{Inputs: []string{book}, Reducers: 1}, job)
			for _, format := range []string{"gz", "bz2", "zst", "seekable"} {
				data, err := os.ReadFile(filepath.Join(dir, format, filepath.Base(book)))
				if err != nil {
					t.Fatal(err)
				}
				url := p.root + "/" + format + "/book" // of which no name tells the format
				if err := p.store.Put(t.Context(), url, data, false); err != nil {
					t.Fatal(err)
				}
				for _, split := range []int64{30_000, 64 << 20} {
					if d := runPacked(t, p, millrace.Options{Inputs: []string{url}, Reducers: 1, SplitSize: split}, job).diff(want); d != "" {
						t.Errorf("%s of %s, split %d: %s", job, format, split, d)
					}
				}
			}
		}
	})
}

// eachServer runs a test with each S3 server; with -short with the first.
func eachServer(t *testing.T, f func(*testing.T, *servers.Server)) {
	t.Helper()
	for _, kind := range selection(
		struct {
			name  string
			start func(testing.TB) *servers.Server
		}{"versitygw", servers.VersityGW},
		struct {
			name  string
			start func(testing.TB) *servers.Server
		}{"minio", servers.MinIO},
	) {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			f(t, kind.start(t))
		})
	}
}

// objectsOf is a workload's files as the oracle takes them, in a folder.
func objectsOf(w workload, folder string) (objects []jobstest.Object) {
	for _, f := range w.files {
		objects = append(objects, jobstest.Object{URL: folder + "/" + f.name, Data: f.data})
	}
	return objects
}

// jsonLines is rows as cat prints them.
func jsonLines(t *testing.T, schema jobs.Schema, rows []jobstest.Row) string {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	for _, row := range rows {
		for i, v := range row {
			fmt.Fprintf(&b, "%c%q:", "{,"[min(i, 1)], schema.Fields[i].Name)
			if err := e.Encode(v); err != nil {
				t.Fatal(err)
			}
			b.Truncate(b.Len() - 1)
		}
		b.WriteString("}\n")
	}
	return b.String()
}

// command runs a program that finds a server in its environment, and returns what it prints.
func command(t *testing.T, s *servers.Server, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "AWS_") }), s.Env()...)
	cmd.Env = append(cmd.Env, "PYTHONDONTWRITEBYTECODE=1", "PYTHONUTF8=1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", filepath.Base(name), args, err, stderr.Bytes())
	}
	return string(out)
}
