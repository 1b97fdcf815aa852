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
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/runfile"
)

// madeRun is a run in memory, as a map attempt made it.
type madeRun struct {
	Run
	data []byte
}

// makeRuns makes the runs of the given maps' pairs.
func makeRuns(t testing.TB, partitions int, maps [][]pair) []madeRun {
	t.Helper()
	runs := make([]madeRun, len(maps))
	for i, pairs := range maps {
		data, _ := makeRun(t, WriterOptions{Partitions: partitions}, pairs, 1<<30)
		tail, err := runfile.ReadTail(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		runs[i] = madeRun{Run{Map: i, URL: fmt.Sprint("mem://runs/", i), Size: tail.Size, Checksum: tail.Checksum}, data}
	}
	return runs
}

// memOpener opens sections of runs in memory. fault may replace what an open gives; call counts the opens of that URL from
// 0, which is how tests are repeatable with fetches in parallel.
type memOpener struct {
	runs  map[string]madeRun
	fault func(ctx context.Context, run Run, call int, o *Opened) (*Opened, error)

	mu    sync.Mutex
	calls map[string]int
}

func newMemOpener(runs []madeRun) *memOpener {
	m := &memOpener{runs: map[string]madeRun{}, calls: map[string]int{}}
	for _, r := range runs {
		m.runs[r.URL] = r
	}
	return m
}

func (m *memOpener) Open(ctx context.Context, run Run, partition int, from int64) (*Opened, error) {
	m.mu.Lock()
	call := m.calls[run.URL]
	m.calls[run.URL]++
	m.mu.Unlock()
	made, ok := m.runs[run.URL]
	if !ok {
		return nil, ErrNoRun
	}
	section, tail, err := runfile.ReadSection(bytes.NewReader(made.data), int64(len(made.data)), partition)
	if err != nil {
		return nil, err
	}
	body := io.NopCloser(bytes.NewReader(made.data[section.Offset+from : section.Offset+section.Length]))
	o := &Opened{Section: section, Checksum: tail.Checksum, Body: body}
	if m.fault != nil {
		return m.fault(ctx, run, call, o)
	}
	return o, nil
}

// noSleep waits for nothing.
func noSleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

// readMerged runs a reader over all runs. It keeps every batch to the end, as a program may.
func readMerged(t testing.TB, o ReaderOptions, runs []Run) ([]pair, *Reader, error) {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.Sleep == nil {
		o.Sleep = noSleep
	}
	r := NewReader(o)
	for _, run := range runs {
		r.Add(run.Map, run.Attempt, run.URL, run.Size, run.Checksum)
	}
	r.Total(len(runs))
	ran := make(chan error, 1)
	go func() { ran <- r.Run(t.Context()) }()
	var batches [][]byte
	b, err := r.Next()
	for ; err == nil; b, err = r.Next() {
		batches = append(batches, b)
	}
	if runErr := <-ran; runErr != nil && !errors.Is(err, runErr) {
		t.Errorf("Next: %v, Run: %v", err, runErr)
	}
	if closeErr := r.Close(); closeErr != nil {
		t.Errorf("Close: %v", closeErr)
	}
	if left, _ := os.ReadDir(o.Dir); len(left) > 0 {
		t.Errorf("%d temporary files are left", len(left))
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	var pairs []pair
	for i, b := range batches {
		got := decode(t, b)
		if len(b) > runfile.BlockSize && len(got) > 1 || i < len(batches)-1 && len(b)+len(batches[i+1]) <= runfile.BlockSize {
			t.Errorf("batch %d of %d has %d bytes and %d pairs", i, len(batches), len(b), len(got))
		}
		pairs = append(pairs, got...)
	}
	return pairs, r, err
}

// onlyRuns is the runs without their bytes.
func onlyRuns(made []madeRun) (runs []Run) {
	for _, m := range made {
		runs = append(runs, m.Run)
	}
	return runs
}

// section is what a partition's merged pairs should be: all maps' pairs of it in map order, sorted stably by key.
func section(maps [][]pair, partition, partitions int) (out []pair) {
	for _, p := range slices.Concat(maps...) {
		if int(hashPartition([]byte(p.key), partitions)) == partition {
			out = append(out, pair{key: p.key, value: p.value})
		}
	}
	slices.SortStableFunc(out, func(a, b pair) int { return strings.Compare(a.key, b.key) })
	return out
}

func someMaps(n, pairs int) [][]pair {
	maps := make([][]pair, n)
	for i := range maps {
		maps[i] = randomPairs(uint64(i), pairs*(i%4)/2) // some are empty
	}
	return maps
}

// What arrives at a reducer over HTTP, from files and out of a store equals collecting everything and sorting it stably,
// for memory that holds all and for memory that spills and merges in several passes.
func TestReaderEqualsReference(t *testing.T) {
	t.Parallel()
	const partitions = 2
	maps := someMaps(80, 2500)
	made := makeRuns(t, partitions, maps)
	for name, c := range map[string]struct {
		memory int64
		spills bool
	}{"large": {256 << 20, false}, "half": {3 << 19, true}, "tiny": {MinMemory, true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runs, open := serveMixed(t, made)
			for p := range partitions {
				got, r, err := readMerged(t, ReaderOptions{Partition: p, Open: open, Memory: c.memory}, runs)
				if want := section(maps, p, partitions); err != nil || !slices.Equal(got, want) {
					t.Fatalf("partition %d: %d pairs of %d, %v", p, len(got), len(want), err)
				}
				if c.memory == MinMemory && r.Spilled() < r.tempEnd*3/2 {
					t.Errorf("partition %d: %d bytes spilled of %d: want two passes", p, r.Spilled(), r.tempEnd)
				}
				if (r.Spilled() > 0) != c.spills {
					t.Errorf("partition %d: %d bytes spilled", p, r.Spilled())
				}
			}
		})
	}
}

// serveMixed puts a third of the runs on another worker, one on this worker, and one into a store. Of every other one it is
// known how large its blocks are.
func serveMixed(t *testing.T, made []madeRun) ([]Run, Opener) {
	t.Helper()
	dir := t.TempDir()
	servers := []*Server{NewServer(), NewServer()}
	var urls []string
	for _, s := range servers {
		h := httptest.NewServer(s)
		t.Cleanup(h.Close)
		urls = append(urls, h.URL)
	}
	store := memStore{}
	runs := onlyRuns(made)
	for i, m := range made {
		if i%3 == 2 {
			store[m.URL] = m.data
			continue
		}
		id := fmt.Sprintf("%032x", i)
		path := filepath.Join(dir, id)
		if err := os.WriteFile(path, m.data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := addFile(servers[i%3], id, path, "job", i%2*runfile.BlockSize); err != nil {
			t.Fatal(err)
		}
		runs[i].URL = urls[i%3] + "/runs/" + id
	}
	t.Cleanup(servers[0].client.CloseIdleConnections)
	return runs, servers[0].Opener(urls[0], store)
}

// No pairs and no maps are an empty stream.
func TestReaderEmpty(t *testing.T) {
	t.Parallel()
	if got, _, err := readMerged(t, ReaderOptions{}, nil); err != nil || len(got) > 0 {
		t.Errorf("no maps: %d pairs, %v", len(got), err)
	}
	made := makeRuns(t, 1, make([][]pair, 3))
	if got, _, err := readMerged(t, ReaderOptions{Open: newMemOpener(made)}, onlyRuns(made)); err != nil || len(got) > 0 {
		t.Errorf("no pairs: %d pairs, %v", len(got), err)
	}
}

// A pair far larger than a block arrives whole, among small ones.
func TestReaderLargePair(t *testing.T) {
	t.Parallel()
	maps := [][]pair{randomPairs(1, 100), {{key: "big", value: strings.Repeat("x", 3<<20)}, {key: "big", value: "y"}}, randomPairs(2, 100)}
	made := makeRuns(t, 1, maps)
	for _, memory := range []int64{64 << 20, 1 << 20} {
		got, _, err := readMerged(t, ReaderOptions{Open: newMemOpener(made), Memory: memory}, onlyRuns(made))
		if want := section(maps, 0, 1); err != nil || !slices.Equal(got, want) {
			t.Errorf("memory %d: %d pairs of %d, %v", memory, len(got), len(want), err)
		}
	}
}

// Faults on the way are made up for, resuming after the last verified block; the merged pairs are the same.
func TestReaderFaults(t *testing.T) {
	t.Parallel()
	maps := someMaps(8, 20_000)
	made := makeRuns(t, 1, maps)
	want := section(maps, 0, 1)
	broken := errors.New("connection reset")
	for name, fault := range map[string]func(ctx context.Context, run Run, call int, o *Opened) (*Opened, error){
		"refused": func(_ context.Context, _ Run, call int, o *Opened) (*Opened, error) {
			if call < fetchTries-1 {
				return nil, broken
			}
			return o, nil
		},
		"cut": func(_ context.Context, _ Run, call int, o *Opened) (*Opened, error) {
			o.Body = io.NopCloser(io.LimitReader(o.Body, runfile.BlockSize+int64(call)*100))
			return o, nil
		},
		"reset": func(_ context.Context, _ Run, call int, o *Opened) (*Opened, error) {
			if call < 3 {
				o.Body = io.NopCloser(io.MultiReader(io.LimitReader(o.Body, int64(call)*300_000), failingReader{broken}))
			}
			return o, nil
		},
		"reset at the end": func(_ context.Context, _ Run, _ int, o *Opened) (*Opened, error) {
			o.Body = io.NopCloser(io.MultiReader(o.Body, failingReader{broken}))
			return o, nil
		},
		"long": func(_ context.Context, _ Run, _ int, o *Opened) (*Opened, error) { // what is too much does no harm
			o.Body = io.NopCloser(io.MultiReader(o.Body, strings.NewReader("too much")))
			return o, nil
		},
		"flipped": func(_ context.Context, _ Run, call int, o *Opened) (*Opened, error) {
			if call < 3 {
				o.Body = io.NopCloser(&flip{o.Body, int64(call) * 270_000})
			}
			return o, nil
		},
	} {
		for _, memory := range []int64{64 << 20, MinMemory} {
			t.Run(fmt.Sprint(name, memory), func(t *testing.T) {
				t.Parallel()
				open := newMemOpener(made)
				open.fault = fault
				got, _, err := readMerged(t, ReaderOptions{Open: open, Memory: memory}, onlyRuns(made))
				if err != nil || !slices.Equal(got, want) {
					t.Errorf("%d pairs of %d, %v", len(got), len(want), err)
				}
			})
		}
	}
}

type failingReader struct{ err error }

func (f failingReader) Read([]byte) (int, error) { return 0, f.err }

// flip flips a bit of the byte at a place.
type flip struct {
	io.Reader
	at int64
}

func (f *flip) Read(b []byte) (int, error) {
	n, err := f.Reader.Read(b)
	if f.at >= 0 && f.at < int64(n) {
		b[f.at] ^= 4
	}
	f.at -= int64(n)
	return n, err
}

// A run that cannot be read ends the attempt with its map, attempt and URL: at once when it is gone or another one lies
// there, otherwise after the tries.
func TestReaderFetchError(t *testing.T) {
	t.Parallel()
	made := makeRuns(t, 1, someMaps(4, 500))
	broken := errors.New("connection refused")
	for name, c := range map[string]struct {
		fault func(o *Opened) (*Opened, error)
		cause error
		calls int
	}{
		"gone":    {func(*Opened) (*Opened, error) { return nil, ErrNoRun }, ErrNoRun, 1},
		"refused": {func(*Opened) (*Opened, error) { return nil, broken }, broken, fetchTries},
		"another": {func(o *Opened) (*Opened, error) { o.Checksum++; return o, nil }, errOtherRun, 1},
		"flipped": {func(o *Opened) (*Opened, error) { o.Body = io.NopCloser(&flip{o.Body, 50}); return o, nil }, runfile.ErrCorrupt, fetchTries},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			open := newMemOpener(made)
			open.fault = func(_ context.Context, run Run, _ int, o *Opened) (*Opened, error) {
				if run.Map != 2 {
					return o, nil
				}
				return c.fault(o)
			}
			runs := onlyRuns(made)
			runs[2].Attempt = 3
			_, _, err := readMerged(t, ReaderOptions{Open: open}, runs)
			var fetch *FetchError
			if !errors.As(err, &fetch) || fetch.Map != 2 || fetch.Attempt != 3 || fetch.URL != runs[2].URL || !errors.Is(err, c.cause) {
				t.Fatalf("error %v", err)
			}
			if got := open.calls[runs[2].URL]; got > c.calls || got < min(c.calls, fetchTries) {
				t.Errorf("%d tries, want %d", got, c.calls)
			}
		})
	}
}

// A run that cannot be reached is reported as that, so that another reader tries it, and soon: well before all tries have waited for
// answers. Where nobody listens the run is gone, as is one that comes damaged.
func TestReaderUnreached(t *testing.T) {
	t.Parallel()
	made := makeRuns(t, 1, someMaps(4, 500))
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + closed.Addr().String() + "/runs/1"
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	_, refused := HTTPOpener{newClient()}.Open(t.Context(), Run{URL: nobody}, 0, 0)
	if !errors.Is(refused, syscall.ECONNREFUSED) {
		t.Fatalf("a port where nobody listens: %v", refused)
	}
	reset := &url.Error{Op: "Get", Err: &net.OpError{Op: "read", Err: syscall.ECONNRESET}}
	for name, c := range map[string]struct {
		err       error // nil: no answer
		unreached bool
	}{
		"silence": {nil, true}, "refused": {refused, false}, "reset": {reset, true}, "an answer": {errors.New("answer 500"), false},
		"the bucket is out of reach": {fmt.Errorf("read: %w", storage.ErrUnreachable), true}, "the bucket says no": {storage.ErrDenied, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			open := newMemOpener(made)
			open.fault = func(ctx context.Context, run Run, _ int, o *Opened) (*Opened, error) {
				if run.Map != 2 {
					return o, nil
				}
				if c.err == nil {
					<-ctx.Done()
					return nil, ctx.Err()
				}
				return nil, c.err
			}
			begun := time.Now()
			_, _, err := readMerged(t, ReaderOptions{Open: open, Dir: t.TempDir(), Sleep: sleep}, onlyRuns(made))
			fetch, ok := errors.AsType[*FetchError](err)
			if !ok || fetch.Map != 2 || fetch.Unreached != c.unreached {
				t.Errorf("%s: %+v, want unreached %v", name, err, c.unreached)
			}
			if d := time.Since(begun); d > 2*defaultStall+time.Second {
				t.Errorf("%s: it took %v to find out", name, d)
			}
		})
	}
}

// A fetch that brings no byte for the stall time is tried anew; a slow one that brings some is not.
func TestReaderStall(t *testing.T) {
	t.Parallel()
	maps := someMaps(4, 500)
	made := makeRuns(t, 1, maps)
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		open := newMemOpener(made)
		open.fault = func(ctx context.Context, run Run, call int, o *Opened) (*Opened, error) {
			switch {
			case call == 0 && run.Map == 1:
				<-ctx.Done() // no answer
				return nil, ctx.Err()
			case call == 0 && run.Map == 2:
				o.Body = io.NopCloser(io.MultiReader(io.LimitReader(o.Body, 100), stalled{ctx}))
			default:
				o.Body = io.NopCloser(slow{o.Body})
			}
			return o, nil
		}
		begun := time.Now()
		got, _, err := readMerged(t, ReaderOptions{Open: open, Dir: dir, Sleep: sleep}, onlyRuns(made))
		if want := section(maps, 0, 1); err != nil || !slices.Equal(got, want) {
			t.Errorf("%d pairs of %d, %v", len(got), len(want), err)
		}
		if d := time.Since(begun); d < defaultStall || open.calls[made[3].URL] != 1 {
			t.Errorf("%v, %d calls for a slow run", d, open.calls[made[3].URL])
		}
	})
}

type stalled struct{ ctx context.Context }

func (s stalled) Read([]byte) (int, error) { <-s.ctx.Done(); return 0, s.ctx.Err() }

// slow gives 1,000 bytes every 10 s, by the clock of a synctest bubble.
type slow struct{ io.Reader }

func (s slow) Read(b []byte) (int, error) {
	<-time.After(10 * time.Second)
	return s.Reader.Read(b[:min(len(b), 1000)])
}

// A run that is lost while it is fetched is given up and made up for by the next attempt; one that is here already, and
// an event of another attempt, change nothing.
func TestReaderLost(t *testing.T) {
	t.Parallel()
	maps := someMaps(4, 500)
	made := makeRuns(t, 1, maps)
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		open := newMemOpener(made)
		open.fault = func(ctx context.Context, run Run, _ int, o *Opened) (*Opened, error) {
			if run.Map == 1 && run.Attempt == 0 {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return o, nil
		}
		r := NewReader(ReaderOptions{Open: open, Dir: dir, Stall: time.Hour, Sleep: sleep})
		r.Total(len(made))
		ran := make(chan error, 1)
		go func() { ran <- r.Run(t.Context()) }()
		add := func(i, attempt int) { r.Add(i, attempt, made[i].URL, made[i].Size, made[i].Checksum) }
		for i := range made[:3] {
			add(i, 0)
		}
		synctest.Wait() // 0 and 2 are here, 1 hangs
		r.Lost(0, 0)
		r.Lost(1, 7)
		add(0, 1)
		r.Lost(1, 0)
		add(1, 1)
		add(3, 0)
		r.Lost(3, 0)
		r.Lost(3, 0)
		add(3, 2)
		var got []pair
		for {
			b, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, decode(t, b)...)
		}
		if want := section(maps, 0, 1); !slices.Equal(got, want) {
			t.Errorf("%d pairs of %d", len(got), len(want))
		}
		if open.calls[made[0].URL] != 1 || open.calls[made[1].URL] != 2 {
			t.Errorf("opened %v", open.calls)
		}
		if err := errors.Join(<-ran, r.Close()); err != nil {
			t.Error(err)
		}
	})
}

// Cancelling ends Run while it waits for events or fetches, and with it a waiting Next.
func TestReaderCancelled(t *testing.T) {
	t.Parallel()
	made := makeRuns(t, 1, someMaps(4, 500))
	open := newMemOpener(made)
	open.fault = func(ctx context.Context, _ Run, _ int, _ *Opened) (*Opened, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	for _, fetching := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			r := NewReader(ReaderOptions{Open: open})
			r.Total(4)
			if fetching {
				for _, m := range made {
					r.Add(m.Map, 0, m.URL, m.Size, m.Checksum)
				}
			}
			ran, next := make(chan error, 1), make(chan error, 1)
			go func() { ran <- r.Run(ctx) }()
			go func() { _, err := r.Next(); next <- err }()
			synctest.Wait()
			cancel()
			if err := <-ran; !errors.Is(err, context.Canceled) {
				t.Errorf("Run: %v", err)
			}
			if err := <-next; !errors.Is(err, context.Canceled) {
				t.Errorf("Next: %v", err)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A failure of this machine's disk is not the run's fault: no FetchError, no second try.
func TestReaderDisk(t *testing.T) {
	t.Parallel()
	made := makeRuns(t, 1, someMaps(8, 20_000))
	open := newMemOpener(made)
	r := NewReader(ReaderOptions{Open: open, Memory: MinMemory, Dir: filepath.Join(t.TempDir(), "missing")})
	for _, m := range made {
		r.Add(m.Map, 0, m.URL, m.Size, m.Checksum)
	}
	r.Total(len(made))
	var fetch *FetchError
	if err := r.Run(t.Context()); !errors.Is(err, os.ErrNotExist) || errors.As(err, &fetch) {
		t.Errorf("error %v", err)
	}
	for url, n := range open.calls {
		if n > 1 {
			t.Errorf("%s: %d tries", url, n)
		}
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// A run on this worker whose file breaks after it was verified, or before it was read at all, is a run that could not be
// fetched.
func TestReaderOwnRunBreaks(t *testing.T) {
	t.Parallel()
	for _, largest := range []int{0, runfile.BlockSize} {
		t.Run(fmt.Sprint(largest), func(t *testing.T) {
			t.Parallel()
			breakOwnRun(t, largest)
		})
	}
}

func breakOwnRun(t *testing.T, largest int) {
	made := makeRuns(t, 1, [][]pair{randomPairs(1, 50_000)})
	path := filepath.Join(t.TempDir(), "own.run")
	if err := os.WriteFile(path, made[0].data, 0o600); err != nil {
		t.Fatal(err)
	}
	s := NewServer()
	if err := addFile(s, "own", path, "job", largest); err != nil {
		t.Fatal(err)
	}
	r := NewReader(ReaderOptions{Open: s.Opener("http://self", memStore{})})
	r.Add(0, 2, "http://self/runs/own", made[0].Size, made[0].Checksum)
	r.Total(1)
	if err := r.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	sections, _, err := runfile.ReadIndex(bytes.NewReader(made[0].data), made[0].Size)
	if err != nil || r.Fetched() != sections[0].Payload() {
		t.Errorf("%d bytes fetched of %d, %v", r.Fetched(), sections[0].Payload(), err)
	}
	if err := os.Truncate(path, 300_000); err != nil {
		t.Fatal(err)
	}
	_, err = r.Next()
	for err == nil {
		_, err = r.Next()
	}
	var fetch *FetchError
	if !errors.As(err, &fetch) || fetch.Attempt != 2 || !errors.Is(err, runfile.ErrCorrupt) {
		t.Errorf("error %v", err)
	}
	if _, again := r.Next(); !errors.Is(again, err) {
		t.Errorf("after an error: %v", again)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// BenchmarkReader fetches and merges 16 runs' sections: over loopback HTTP, and of this worker, with sizes of blocks that are
// known or have to be found out.
func BenchmarkReader(b *testing.B) {
	maps := make([][]pair, 16)
	for i := range maps {
		maps[i] = randomPairs(uint64(i), 100_000)
	}
	made := makeRuns(b, 1, maps)
	s := NewServer()
	h := httptest.NewServer(s)
	defer h.Close()
	dir := b.TempDir()
	var size int64
	for i, m := range made {
		path := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(path, m.data, 0o600); err != nil {
			b.Fatal(err)
		}
		if err := errors.Join(addFile(s, fmt.Sprint(i), path, "job", 0), addFile(s, fmt.Sprint("known", i), path, "job", runfile.BlockSize)); err != nil {
			b.Fatal(err)
		}
		size += m.Size
	}
	for _, c := range []struct {
		name, id string
		open     Opener
	}{
		{"http", "", HTTPOpener{http.DefaultClient}},
		{"own", "", s.Opener(h.URL, nil)},
		{"known", "known", s.Opener(h.URL, nil)},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				r := NewReader(ReaderOptions{Open: c.open, Dir: dir})
				for i, m := range made {
					r.Add(m.Map, 0, h.URL+"/runs/"+c.id+fmt.Sprint(i), m.Size, m.Checksum)
				}
				r.Total(len(made))
				readAll(b, r)
			}
		})
	}
}

func readAll(b *testing.B, r *Reader) {
	if err := r.Run(b.Context()); err != nil {
		b.Fatal(err)
	}
	for err := error(nil); !errors.Is(err, io.EOF); {
		if _, err = r.Next(); err != nil && !errors.Is(err, io.EOF) {
			b.Fatal(err)
		}
	}
	if err := r.Close(); err != nil {
		b.Fatal(err)
	}
}
