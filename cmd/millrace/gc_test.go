package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/master"
	"github.com/millrace/millrace/master/memha"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/backends"
	"github.com/millrace/millrace/storage/leftovers"
	"github.com/millrace/millrace/storage/s3store"
	"github.com/millrace/millrace/storage/storagetest/servers"
	"github.com/millrace/millrace/worker"
	"github.com/millrace/millrace/worker/program"
)

// gcPlace is where a test of gc keeps its things: a local folder or a bucket.
type gcPlace struct {
	url   string // a folder, without a slash at its end
	env   []string
	store *storage.Store
}

// gcPlaces are the kinds of places by name, each made when it is asked for.
func gcPlaces() map[string]func(t *testing.T) gcPlace {
	bucket := func(start func(testing.TB) *servers.Server) func(t *testing.T) gcPlace {
		return func(t *testing.T) gcPlace {
			s := start(t)
			return gcPlace{"s3://" + s.NewBucket(t) + "/data", s.Env(), backends.New(backends.Options{S3: func() (s3store.Options, error) {
				return s3store.Options{Endpoint: s.Endpoint, Region: s.Region, AccessKey: s.AccessKey, SecretKey: s3store.Secret(s.SecretKey)}, nil
			}})}
		}
	}
	return map[string]func(t *testing.T) gcPlace{
		"minio": bucket(servers.MinIO), "versitygw": bucket(servers.VersityGW),
		"local": func(t *testing.T) gcPlace {
			return gcPlace{"file://" + t.TempDir(), nil, backends.New(backends.Options{})}
		},
	}
}

func (p gcPlace) put(t *testing.T, name, text string) {
	t.Helper()
	must(t, p.store.Put(t.Context(), p.url+"/"+name, []byte(text), false))
}

func (p gcPlace) pend(t *testing.T, name string) {
	t.Helper()
	u, err := p.store.Create(t.Context(), p.url+"/"+name, storage.UploadOptions{})
	must(t, err)
	_, err = io.WriteString(u, "pending")
	must(t, err)
	_, err = u.Finish(t.Context())
	must(t, err)
}

// there lists what is left: objects, and uploads with a "?" behind the name.
func (p gcPlace) there(t *testing.T) []string {
	t.Helper()
	names := []string{}
	must(t, p.store.List(t.Context(), p.url+"/", func(i storage.Info) bool { names = append(names, strings.TrimPrefix(i.URL, p.url+"/")); return true }))
	must(t, p.store.Uploads(t.Context(), p.url+"/", func(url, _ string, _ time.Time) bool {
		names = append(names, strings.TrimPrefix(url, p.url+"/")+"?")
		return true
	}))
	slices.Sort(names)
	return names
}

// gc runs the command and returns its report.
func (p gcPlace) gc(t *testing.T, args ...string) leftovers.Report {
	t.Helper()
	r := call{args: append([]string{"gc", p.url, "--json"}, args...), env: p.env}.run(t)
	var report leftovers.Report
	if err := json.Unmarshal([]byte(r.out), &report); err != nil || r.code != 0 {
		t.Fatalf("gc %q: exit code %d, %v\n%s\n%s", args, r.code, err, r.out, r.errout)
	}
	return report
}

// kinds counts items by kind.
func kinds(items []*leftovers.Item) map[leftovers.Kind]int {
	n := map[leftovers.Kind]int{}
	for _, i := range items {
		n[i.Kind]++
	}
	return n
}

// gate is a job whose two reduce tasks wait, at their first keys, until they are let go.
type gate struct {
	arrived chan struct{} // one is sent for each task that waits
	open    chan struct{}
}

func newGate() *gate { return &gate{arrived: make(chan struct{}, 2), open: make(chan struct{})} }

type wordRow struct {
	Word string
	N    int64
}

func (g *gate) job() *jobs.Job {
	return jobs.New("gate", func(line string, emit func(string, int64)) error {
		for word := range strings.FieldsSeq(line) {
			emit(word, 1)
		}
		return nil
	}, g.reduce)
}

// reduce is the reduce function that waits.
func (g *gate) reduce(word string, ns jobs.Values[int64], emit func(wordRow)) error {
	select {
	case g.arrived <- struct{}{}:
	default:
	}
	<-g.open
	emit(wordRow{word, jobs.Total(ns)})
	return nil
}

// engine runs a master on a TCP address, and a worker, over p's store, until the test ends.
func (p gcPlace) engine(t *testing.T, job *jobs.Job) (addr string, c *wire.Client, reg *program.Registry) {
	t.Helper()
	reg, err := program.NewRegistry(millrace.Version, job)
	must(t, err)
	mem := memha.New()
	m, err := master.New(master.Options{Store: p.store, Backend: mem, Election: mem, Programs: reg, Volatile: true})
	must(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return m.Run(ctx, l) })
	dial := func(role wire.Role) *wire.Client {
		c, err := wire.Dial(ctx, []string{l.Addr().String()}, wire.ClientOptions{Role: role, RetryFor: 10 * time.Second})
		must(t, err)
		return c
	}
	worked, c := dial(wire.RoleWorker), dial(wire.RoleClient)
	w, err := worker.New(worker.Options{Master: worked, Programs: reg, Store: p.store, Slots: 2, Memory: 64 << 20, TempDir: t.TempDir()})
	must(t, err)
	g.Go(func() error { return w.Run(ctx) })
	t.Cleanup(func() {
		c.Close()
		stop()
		_ = g.Wait() // what counts is what the test saw
		worked.Close()
	})
	return l.Addr().String(), c, reg
}

// submit submits the job, with its runs in the bucket, and waits until both reduce tasks are at work.
func (p gcPlace) submit(t *testing.T, g *gate, c *wire.Client, reg *program.Registry, out string) wire.JobID {
	t.Helper()
	o := millrace.Options{Inputs: []string{p.url + "/in.txt"}, Output: p.url + "/" + out, Shuffle: "bucket", Reducers: 2, NoBackup: true}
	spec, err := o.Spec(reg, "gate")
	must(t, err)
	id := millrace.NewJobID()
	_, err = c.Submit(t.Context(), &wire.SubmitArgs{Job: id, Spec: spec})
	must(t, err)
	for range 2 {
		select {
		case <-g.arrived:
		case <-time.After(deadline):
			t.Fatal("the reduce tasks do not begin")
		}
	}
	return id
}

// parts are the bytes of an output's parts, by name.
func (p gcPlace) parts(t *testing.T, out string) map[string]string {
	t.Helper()
	parts := map[string]string{}
	for _, name := range []string{"part-00000.arrow", "part-00001.arrow"} {
		body, _, err := p.store.Read(t.Context(), p.url+"/"+out+"/"+name, 0, -1, "")
		must(t, err)
		b, err := io.ReadAll(body)
		must(t, err)
		parts[name] = string(b)
	}
	return parts
}

// finish lets the job go on and compares its output with that of a job that nothing happened to.
func (p gcPlace) finish(t *testing.T, g *gate, c *wire.Client, id wire.JobID, out string) {
	t.Helper()
	close(g.open)
	s, err := millrace.Follow(t.Context(), c, id, false, nil)
	if err != nil {
		t.Fatalf("the job: %v", err)
	}
	if want, got := p.parts(t, "want"), p.parts(t, out); want["part-00000.arrow"] != got["part-00000.arrow"] || want["part-00001.arrow"] != got["part-00001.arrow"] {
		t.Errorf("the parts of %s are not those of a job that nothing happened to (%d retries)", out, s.Retries)
	}
	if r := (call{args: []string{"verify", p.url + "/" + out}, env: p.env}).run(t); r.code != 0 {
		t.Errorf("verify: %s%s", r.out, r.errout)
	}
}

// want writes the input, and the output as it is without any trouble.
func (p gcPlace) want(t *testing.T) {
	t.Helper()
	p.put(t, "in.txt", strings.Repeat("the owl and the cat went to sea\nin a beautiful boat\n", 100))
	free := newGate()
	close(free.open)
	_, err := millrace.Run(t.Context(), free.job(), millrace.Options{
		Inputs: []string{p.url + "/in.txt"}, Output: p.url + "/want", Reducers: 2, Store: p.store, Memory: 64 << 20, TempDir: t.TempDir(),
	})
	must(t, err)
}

// TestGCBesideLiveJob proves, over local files and real servers, that what dead jobs left is removed and what a running one
// owns is not, whether its master is asked or its age tells; committed outputs and what others wrote stay; and the parts of
// the running job come out right, byte for byte.
func TestGCBesideLiveJob(t *testing.T) {
	t.Parallel()
	for name, make := range gcPlaces() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, g := make(t), newGate()
			p.want(t)
			const dead = ".millrace-0123456789abcdef0123456789abcdef/map-00000.0.run"
			p.put(t, "dead/"+dead, "run")
			p.put(t, "dead/notes.txt", "mine")
			p.pend(t, "dead/part-00000.arrow")
			p.pend(t, "want/part-00001.arrow")
			foreign := 0
			if p.env != nil {
				p.pend(t, "film.mkv")
				foreign = 1
			}
			addr, c, reg := p.engine(t, g.job())
			id := p.submit(t, g, c, reg, "live")
			before := p.there(t)

			if r := p.gc(t); len(r.Items) != 0 || len(r.Kept) < 5 || r.Foreign != foreign {
				t.Errorf("by age: %d to be removed, %d kept, %d foreign", len(r.Items), len(r.Kept), r.Foreign)
			}
			dry := p.gc(t, "--older-than", "0s", "--master", addr, "--dry-run")
			if k := kinds(dry.Items); !dry.DryRun || k[leftovers.Upload] != 2 || k[leftovers.RunFolder] != 1 || len(dry.Items) != 3 {
				t.Errorf("would remove %v", k)
			}
			if got := p.there(t); !slices.Equal(got, before) {
				t.Errorf("before %q\nafter looking %q", before, got)
			}
			r := p.gc(t, "--older-than", "0s", "--master", addr)
			for _, i := range r.Kept {
				if !strings.HasPrefix(i.URL, p.url+"/live/") || i.Kept != "job "+string(id)+" is at work there" {
					t.Errorf("kept: %+v", i)
				}
			}
			if k := kinds(r.Kept); k[leftovers.RunFolder] != 1 || k[leftovers.Upload] != 2 || len(r.Items) != 3 {
				t.Errorf("kept %v, removed %d", k, len(r.Items))
			}
			gone := []string{"dead/" + dead, "dead/part-00000.arrow?", "want/part-00001.arrow?"}
			want := slices.DeleteFunc(slices.Clone(before), func(name string) bool { return slices.Contains(gone, name) })
			if got := p.there(t); !slices.Equal(got, want) {
				t.Errorf("left  %q\nwant  %q", got, want)
			}
			p.finish(t, g, c, id, "live")
		})
	}
}

// TestGCWrongGuess proves that a live job which gc was told to take for dead loses work and nothing else: it runs the lost
// tasks again, and its parts are right, byte for byte.
func TestGCWrongGuess(t *testing.T) {
	t.Parallel()
	for name, make := range gcPlaces() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, g := make(t), newGate()
			p.want(t)
			_, c, reg := p.engine(t, g.job())
			id := p.submit(t, g, c, reg, "live")
			if k := kinds(p.gc(t, "--older-than", "0s").Items); k[leftovers.RunFolder] != 1 || k[leftovers.Upload] != 2 {
				t.Errorf("removed %v", k)
			}
			p.finish(t, g, c, id, "live")
		})
	}
}

// TestGCAfterKill proves that what a killed run leaves is found once it is old enough, said in words, and removed with the
// folders it lay in.
func TestGCAfterKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	write(t, dir+"/in.txt", "a\nb\nc\n")
	cmd, _ := call{bin: binaries.badjobs, dir: dir, args: []string{
		"run", "wait-reduce", "in.txt", "-o", "out", "--shuffle", "bucket", "-p", "address=" + l.Addr().String(),
	}}.command(t)
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // it has ended, unless the test failed
	reducing, err := l.Accept()
	must(t, err)
	defer reducing.Close()

	live := cli(t, dir, 0, "gc", ".")
	if want := "nothing to remove in " + dir + "/\n"; !strings.HasSuffix(live.out, want) || !strings.Contains(live.out, ": younger than 24 h\n") {
		t.Errorf("while it lives:\n%s", live.out)
	}
	must(t, cmd.Process.Kill())
	_ = cmd.Wait() // it was killed
	before := names(t, dir+"/out")
	dry := cli(t, dir, 0, "gc", "out", "--older-than", "0s", "-n")
	for _, want := range []string{"pending upload   " + dir + "/out/part-00000.arrow ", "run folder       " + dir + "/out/.millrace-", "claim            " + dir + "/out/.millrace-claim ", "would remove 3 leftovers of "} {
		if !strings.Contains(dry.out, want) {
			t.Errorf("%q is not in\n%s", want, dry.out)
		}
	}
	if got := names(t, dir+"/out"); !slices.Equal(got, before) || len(got) != 4 {
		t.Errorf("before %q, after --dry-run %q", before, got)
	}
	if r := cli(t, dir, 0, "gc", "out", "--older-than", "0s"); !strings.Contains(r.out, "removed 3 leftovers of ") || r.errout != "" {
		t.Errorf("stdout: %s\nstderr: %s", r.out, r.errout)
	}
	if got := names(t, dir+"/out"); len(got) > 0 {
		t.Errorf("left are %q", got)
	}
	if r := cli(t, dir, 0, "gc", "out", "--older-than", "0s", "-q"); r.out+r.errout != "" {
		t.Errorf("quiet, with nothing to do: %s%s", r.out, r.errout)
	}
}

// TestGCFails proves that gc removes nothing without the master that it was told to ask, says what it could not remove, and
// refuses an age that is none.
func TestGCFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir+"/out/.millrace-0123456789abcdef0123456789abcdef/map-00000.0.run", "run")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	addr := l.Addr().String()
	l.Close()
	if r := cli(t, dir, 3, "gc", "out", "--older-than", "0s", "--master", addr); !strings.Contains(r.errout, addr) || r.out != "" {
		t.Errorf("no master: %s%s", r.out, r.errout)
	}
	if got := names(t, dir+"/out"); len(got) != 1 {
		t.Errorf("left are %q", got)
	}
	for _, bad := range []string{"soon", "-1h", "d"} {
		if r := cli(t, dir, 2, "gc", "out", "--older-than="+bad); !strings.Contains(r.errout, "write it as 36h or 2d") {
			t.Errorf("%s: %s", bad, r.errout)
		}
	}
	if r := cli(t, dir, 0, "gc", "none"); !strings.Contains(r.out, "nothing to remove in "+dir+"/none/") {
		t.Errorf("no folder: %s%s", r.out, r.errout)
	}
}

// TestGCText proves what a person reads: of many leftovers the first, those that were not removed and why, what is kept by its
// reasons, and names of others made safe.
func TestGCText(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	r := &leftovers.Report{URL: "s3://b/", Foreign: 2}
	for range maxListed + 5 {
		r.Items = append(r.Items, &leftovers.Item{Kind: leftovers.Upload, URL: "s3://b/a\x1bb", Size: 1000, Active: now.Add(-72 * time.Hour), Removed: true})
	}
	r.Items[maxListed+2].Removed, r.Items[maxListed+2].Problem = false, "abort: access\ndenied"
	for range 3 {
		r.Kept = append(r.Kept, &leftovers.Item{Kept: "younger than 24 h", Size: 1_000_000})
	}
	got := gcText(r, now)
	for _, want := range []string{
		"pending upload   s3://b/ab     1.0 kB  3 days old\n", "  not removed: abort: access denied\n", "… and 5 more\n",
		"kept 3 things of 3.0 MB: younger than 24 h\n", "left alone 2 pending uploads of other programs\n", "removed 104 leftovers of 104 kB\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	if n := strings.Count(got, "\n"); n != maxListed+6 {
		t.Errorf("%d lines", n)
	}
	r.DryRun = true
	if got := gcText(r, now); !strings.HasSuffix(got, "would remove 105 leftovers of 105 kB\n") {
		t.Errorf("dry: %s", got[len(got)-60:])
	}
}

// TestRealURL proves that a local folder has one name, whatever links lead to it, also before it is there.
func TestRealURL(t *testing.T) {
	t.Parallel()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	must(t, os.Mkdir(dir+"/real", 0o755))
	must(t, os.Symlink(dir+"/real", dir+"/link"))
	for url, want := range map[string]string{
		"file://" + dir + "/link/new/out": "file://" + dir + "/real/new/out",
		"file://" + dir + "/link/":        "file://" + dir + "/real",
		"s3://b/link":                     "s3://b/link",
	} {
		if got := realURL(url); got != want {
			t.Errorf("%s: got %s, want %s", url, got, want)
		}
	}
}
