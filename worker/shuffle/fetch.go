package shuffle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/runfile"
)

const (
	// fetchTries is how often in a row a section is asked for without a verified block as the result. With the backoff, a
	// worker that restarts its network has 3 s; a worker that is gone is the scheduler's affair.
	fetchTries = 6
	// fetchPatience is how long that may take if it was tried twice, also when each try is long because no answer comes: a lease. The
	// task is better off on a worker that gets answers than waiting for the network to heal.
	fetchPatience = 15 * time.Second
	firstBackoff  = 100 * time.Millisecond
	maxBackoff    = 5 * time.Second
	// defaultStall is how long a fetch may bring no byte before it is tried anew.
	defaultStall = 15 * time.Second
)

// FetchError reports a run that could not be read.
type FetchError struct {
	Map, Attempt int
	URL          string
	Unreached    bool // who has the run did not answer, or not to this worker: the run may be well, and others able to read it
	Err          error
}

func (e *FetchError) Error() string {
	return fmt.Sprintf("fetch the run of map %d, attempt %d, from %s: %v", e.Map, e.Attempt, e.URL, e.Err)
}

func (e *FetchError) Unwrap() error { return e.Err }

var (
	errOtherRun = errors.New("another run lies there: the checksum differs")
	errStalled  = errors.New("no byte came for too long")
)

// unreached says whether an error in reading a run is one of the way to it. Where nobody listens the worker is gone, and the run with
// it, whoever asks.
func unreached(err error) bool {
	if errors.Is(err, syscall.ECONNREFUSED) {
		return false
	}
	network, ok := errors.AsType[net.Error](err)
	return ok && network.Timeout() || errors.As(err, new(*net.OpError)) || errors.Is(err, errStalled) ||
		errors.Is(err, storage.ErrUnreachable) || errors.Is(err, storage.ErrDenied)
}

// fetcher fetches one section, block by block, over as many answers as it takes.
type fetcher struct {
	r       *Reader
	run     Run
	coming  *arriving
	section *runfile.Reader // nil before the first answer
	source  *source
	buf     []byte // for blocks that are not kept in memory
}

// fetch returns the run's section, verified, in memory or in a file.
func (r *Reader) fetch(ctx context.Context, m *mapRun) (*source, error) {
	run := m.run
	f := &fetcher{r: r, run: run, coming: &m.arriving}
	for failures, verified, since := 0, int64(0), time.Now(); ; {
		err := f.try(ctx)
		if err == nil {
			return f.source, nil
		}
		if now := f.verified(); now > verified {
			failures, verified, since = 0, now, time.Now()
		}
		failures++
		var local *localError
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.As(err, &local):
			return nil, local.err
		case failures == fetchTries || failures > 1 && time.Since(since) > fetchPatience || errors.Is(err, ErrNoRun) || errors.Is(err, errOtherRun):
			return nil, &FetchError{Map: run.Map, Attempt: run.Attempt, URL: run.URL, Unreached: unreached(err), Err: err}
		}
		if err := r.o.Sleep(ctx, r.backoff(failures)); err != nil {
			return nil, err
		}
	}
}

// backoff doubles from try to try; the jitter of one half keeps reducers apart that failed together.
func (r *Reader) backoff(failures int) time.Duration {
	d := min(firstBackoff<<(failures-1), maxBackoff)
	return d/2 + time.Duration(r.o.Rand()*float64(d))
}

func (f *fetcher) verified() int64 {
	if f.section == nil {
		return 0
	}
	return f.section.Verified()
}

// try asks for the rest of the section and reads it. A section that the merge can read where it lies is not read here: the
// merge verifies it too, and what it finds wrong ends the attempt with the same error.
func (f *fetcher) try(ctx context.Context) (err error) {
	if f.section != nil && f.verified() == f.source.section.Length {
		f.section.Resume(strings.NewReader("")) // what broke was the answer's end, behind the last block
		return f.blocks()
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(f.r.o.Stall, func() { cancel(errStalled) })
	defer watch.Stop()
	defer func() {
		if err != nil && errors.Is(context.Cause(ctx), errStalled) {
			err = fmt.Errorf("%w: %w", errStalled, err)
		}
	}()
	opened, err := f.r.o.Open.Open(ctx, f.run, f.r.o.Partition, f.verified())
	if err != nil {
		return err
	}
	defer opened.Body.Close() // everything that counts was read and verified
	if opened.Checksum != f.run.Checksum {
		return errOtherRun
	}
	f.coming.begin(opened.Section.Length, f.verified())
	var body io.Reader = watched{opened.Body, watch, f.r.o.Stall, f.coming}
	if f.section == nil {
		if f.source, err = f.r.place(f.run, opened); err != nil {
			return err
		}
		if f.source.kind == inRun && opened.Largest > 0 {
			f.source.maxBlock = opened.Largest
			f.r.fetched.Add(opened.Section.Payload())
			return nil
		}
		f.section = runfile.NewReader(nil, opened.Section)
	} else if f.source.section != opened.Section {
		return errOtherRun
	}
	if f.source.kind == inTemp {
		end := f.source.offset + f.source.section.Length
		body = io.TeeReader(body, &placeWriter{f.source.file, f.source.offset + f.verified(), end})
	}
	f.section.Resume(body)
	return f.blocks()
}

// blocks reads verified blocks to the section's end.
func (f *fetcher) blocks() error {
	for {
		block, _, err := f.section.Next(f.buf)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		f.r.fetched.Add(int64(len(block)))
		f.source.maxBlock = max(f.source.maxBlock, len(block))
		if f.source.kind == inMemory {
			f.source.blocks = append(f.source.blocks, block)
		} else {
			f.buf = block
		}
	}
}

// watched keeps a stall timer off as long as bytes come.
type watched struct {
	io.Reader
	timer  *time.Timer
	stall  time.Duration
	coming *arriving
}

func (w watched) Read(b []byte) (int, error) {
	n, err := w.Reader.Read(b)
	if n > 0 {
		w.timer.Reset(w.stall)
		w.coming.add(n)
	}
	return n, err
}

// placeWriter writes to a file from a place on, and drops what goes beyond the end: there lies another section.
type placeWriter struct {
	w       io.WriterAt
	at, end int64
}

func (p *placeWriter) Write(b []byte) (int, error) {
	keep := b[:min(int64(len(b)), p.end-p.at)]
	n, err := p.w.WriteAt(keep, p.at)
	p.at += int64(n)
	if err != nil {
		return n, &localError{fmt.Errorf("keep fetched run: %w", err)}
	}
	return len(b), nil
}

// localError marks a failure of this machine: not the run's, and not to be tried again.
type localError struct{ err error }

func (e *localError) Error() string { return e.err.Error() }
func (e *localError) Unwrap() error { return e.err }
