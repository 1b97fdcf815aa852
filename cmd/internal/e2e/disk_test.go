package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage/storagetest/servers"
	"github.com/millrace/millrace/worker"
)

// diskRate is the variable by which a worker process of these tests has a disk of so many bytes a second, from the moment on that it
// gets SIGUSR1. To make a real disk slow needs root and a block device.
const diskRate = "E2E_DISK"

// disk is a disk that has become slow, as the rest of a worker sees it: what its maps put out waits for it, and so does what others read of
// its runs, all in one queue.
type disk struct {
	rate int64 // bytes a second
	slow chan struct{}

	mu   sync.Mutex
	free time.Time // when it has done all that it was given
}

// withDisk puts a disk between a worker and its runs if the environment says so.
func withDisk(ctx context.Context, o *worker.Options) error {
	text := os.Getenv(diskRate)
	if text == "" {
		return nil
	}
	rate, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return fmt.Errorf("%s: %w", diskRate, err)
	}
	d := &disk{rate: rate, slow: make(chan struct{})}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() { // these end with the process
		<-signals
		close(d.slow)
	}()
	front := &readsFrom{Master: o.Master, url: "http://" + l.Addr().String()}
	srv := &http.Server{Handler: &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(front.runs()) },
		ModifyResponse: func(r *http.Response) error {
			r.Body = reads{r.Body, r.Request.Context(), d}
			return nil
		},
		FlushInterval: -1,                         // a slow disk shows at once
		ErrorLog:      log.New(io.Discard, "", 0), // readers that go away
	}}
	go func() { _ = srv.Serve(l) }()
	o.Master, o.Programs = front, writesTo{o.Programs, d}
	return nil
}

// wait is the time that the disk takes for n bytes.
func (d *disk) wait(ctx context.Context, n int) error {
	select {
	case <-d.slow:
	default:
		return nil
	}
	d.mu.Lock()
	now := time.Now()
	if d.free.Before(now) {
		d.free = now
	}
	d.free = d.free.Add(time.Duration(n) * time.Second / time.Duration(d.rate))
	until := d.free
	d.mu.Unlock()
	select {
	case <-time.After(time.Until(until)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// reads is what somebody reads of a run.
type reads struct {
	io.ReadCloser
	ctx context.Context
	d   *disk
}

func (r reads) Read(b []byte) (int, error) {
	n, err := r.ReadCloser.Read(b[:min(len(b), 8)]) // so that none of those who wait hears nothing for long
	return n, errors.Join(r.d.wait(r.ctx, n), err)
}

// readsFrom tells the master of runs where the disk is read.
type readsFrom struct {
	worker.Master
	url string

	mu   sync.Mutex
	real string
}

func (f *readsFrom) runs() *url.URL {
	f.mu.Lock()
	defer f.mu.Unlock()
	u, _ := url.Parse(f.real) // the worker made it
	return u
}

func (f *readsFrom) Poll(ctx context.Context, args *wire.PollArgs) (*wire.PollReply, error) {
	f.mu.Lock()
	f.real = args.RunsURL
	f.mu.Unlock()
	told := *args
	told.Done = slices.Clone(args.Done)
	for i, o := range told.Done {
		if o.Map != nil {
			m := *o.Map
			m.URL = strings.Replace(m.URL, args.RunsURL, f.url, 1)
			told.Done[i].Map = &m
		}
	}
	return f.Master.Poll(ctx, &told)
}

// writesTo are programs whose maps write to the disk.
type writesTo struct {
	worker.Programs
	d *disk
}

func (w writesTo) Load(spec plan.Spec) (jobs.Program, error) {
	p, err := w.Programs.Load(spec)
	return writing{p, w.d}, err
}

type writing struct {
	jobs.Program
	d *disk
}

func (w writing) Map(ctx context.Context, t *jobs.Task, in jobs.BlockSource, out jobs.PairSink) error {
	return w.Program.Map(ctx, t, in, written{out, ctx, w.d})
}

type written struct {
	jobs.PairSink
	ctx context.Context
	d   *disk
}

func (w written) Put(b jobs.Pairs) (jobs.Pairs, error) {
	if err := w.d.wait(w.ctx, len(b.Data)); err != nil {
		return jobs.Pairs{}, err
	}
	return w.PairSink.Put(b)
}

// A worker whose disk becomes slow when it holds runs does not hold up the job until it has sent them: its last map gets a backup, and what
// it has made is made again elsewhere, once. The status says which worker it was.
func TestSlowDisk(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		return // nobody calls a worker slow before a quarter of a minute has passed
	}
	const slowest = time.Minute
	ctx, cancel := context.WithTimeout(t.Context(), killBudget)
	defer cancel()
	w := paced(800, 4, 50*time.Millisecond, 5*time.Millisecond)
	s := servers.MinIO(t)
	k := killed{p: inBucket(t, "minio", s), s: s}
	var err error
	if k.in, err = w.write(ctx, k.p); err != nil {
		t.Fatal(err)
	}
	swift := w
	swift.params = maps.Clone(w.params)
	swift.params["map"], swift.params["reduce"] = "0", "0"
	k.want = undisturbed(ctx, t, swift, k.p, k.in, paceSplit*paceLine)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := startClusterOf(ctx, t, s, 3, self)
	p := c.addTroubled("slow-disk", c.temp, diskRate+"=100")
	c.joined(ctx, 4)
	out := k.p.root + "/out"
	id := c.submit(ctx, w, millrace.Options{Inputs: []string{k.in}, Output: out, SplitSize: paceSplit * paceLine})
	c.await(ctx, id, "two thirds of the maps are done", func(s *wire.JobStatus) bool { return s.Map.Done >= s.Map.Tasks*2/3 })
	if err := p.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	end := c.finish(ctx, id)
	k.wantSame(ctx, t, w, out)
	took := end.Ended.Sub(end.Submitted)
	t.Logf("it took %.1f s, with %d backup attempts", took.Seconds(), len(c.events(ctx, id, "would need")))
	if took > slowest {
		t.Errorf("it took %v, want at most %v: its runs alone take longer than that to send", took, slowest)
	}
	wantWarning(t, end, p, "sends its runs slowly", "left out of the job")
	if n := len(c.events(ctx, id, "its runs come slowly")); n != 1 {
		t.Errorf("its runs were given up %d times, want once", n)
	}
	c.stop()
}
