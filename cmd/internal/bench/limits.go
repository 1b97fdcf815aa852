package bench

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/storage"
)

// Limits are what the machine can do at most, all of its processors together.
type Limits struct {
	CopyMBps float64 `json:"memory_copy_mb_per_s"`
	ReadMBps float64 `json:"read_mb_per_s"` // of an input to nothing: from the page cache, or by GET
}

const (
	copySize  = 64 << 20 // bytes a processor copies at a time: more than caches hold
	copyTimes = 8
	readRange = 64 << 20 // bytes of a request: smaller ones are slower on an object store
	readsOpen = 4
	readSize  = 1 << 20 // bytes of a buffer
)

// copyRate measures how fast memory is copied.
func copyRate() float64 {
	n := runtime.GOMAXPROCS(0)
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	ready.Add(n)
	for range n {
		done.Go(func() {
			from, to := make([]byte, copySize), make([]byte, copySize)
			copy(to, from) // the pages are there only once they have been touched
			copy(from, to)
			ready.Done()
			<-start
			for range copyTimes {
				copy(to, from)
			}
		})
	}
	ready.Wait()
	begun := time.Now()
	close(start)
	done.Wait()
	return rate(int64(n)*copyTimes*copySize, time.Since(begun))
}

// readRate measures how fast an object is read to nothing, the second time, so that what a page cache can hold is in it.
func readRate(ctx context.Context, st *storage.Store, url string, size int64) (float64, error) {
	var took time.Duration
	for range 2 {
		begun := time.Now()
		if err := readAll(ctx, st, url, size); err != nil {
			return 0, err
		}
		took = time.Since(begun)
	}
	return rate(size, took), nil
}

func readAll(ctx context.Context, st *storage.Store, url string, size int64) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readsOpen)
	for off := int64(0); off < size; off += readRange {
		n := min(readRange, size-off)
		g.Go(func() error {
			body, _, err := st.Read(ctx, url, off, n, "")
			if err != nil {
				return err
			}
			defer body.Close()
			got, err := drain(body)
			if err == nil && got != n {
				err = fmt.Errorf("read %s: %d bytes from offset %d instead of %d", url, got, off, n)
			}
			return err
		})
	}
	return g.Wait()
}

// drain reads to the end with a buffer of its own: io.Discard's is too small for a page cache.
func drain(r io.Reader) (n int64, err error) {
	buf := make([]byte, readSize)
	for {
		m, err := r.Read(buf)
		n += int64(m)
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// rate is in MB a second.
func rate(bytes int64, d time.Duration) float64 {
	return float64(bytes) / 1e6 / max(d.Seconds(), 1e-9)
}
