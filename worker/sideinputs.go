package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/worker/laps"
)

// sideShare is the part of a worker's memory that the side inputs of all jobs under way may take: a half. The slots share what is
// left.
const sideShare = 2

// slotMemory is the memory of a slot: an equal share of what the side inputs of jobs under way leave of the worker's.
func (w *Worker) slotMemory() int64 {
	return max((w.o.Memory-w.sideBytes.Load())/int64(w.o.Slots), min(MinSlotMemory, w.o.Memory/int64(w.o.Slots)))
}

// sideInputs are a job's side inputs in this worker: read by the first attempt that needs them, held for the others until the job is
// dropped. An attempt that waits for another one to read them can be given up meanwhile.
type sideInputs struct {
	turn chan struct{} // holds one token while nobody reads

	mu      sync.Mutex // guards everything below; never held during a read
	data    *jobs.SideData
	bytes   int64 // of data
	dropped bool
	held    *atomic.Int64 // the worker's sum, which counts bytes from before they are read until they are dropped
}

func newSideInputs(held *atomic.Int64) *sideInputs {
	s := &sideInputs{turn: make(chan struct{}, 1), held: held}
	s.turn <- struct{}{}
	return s
}

// load returns the side inputs, which it reads if no attempt has done so. A failed read is the next attempt's to repeat.
func (s *sideInputs) load(ctx context.Context, o Options, a *attempt, files []plan.SideInput) (*jobs.SideData, error) {
	if len(files) == 0 {
		return nil, nil
	}
	if data := s.known(); data != nil {
		return data, nil
	}
	defer a.laps.To(a.laps.To(laps.Read))
	select {
	case <-s.turn:
		defer func() { s.turn <- struct{}{} }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if data := s.known(); data != nil {
		return data, nil
	}
	if err := s.reserve(files, o.Memory); err != nil {
		return nil, err
	}
	kept := false
	defer func() {
		if !kept { // a panic included
			s.held.Add(-sizeOf(files))
		}
	}()
	content := make([][]byte, len(files))
	for i, f := range files {
		var err error
		if content[i], err = readSideInput(ctx, o.Store, f); err != nil {
			return nil, fmt.Errorf("side input %s: %w", f.Name, err)
		}
	}
	data := jobs.NewSideData(content...)
	kept = s.keep(data, sizeOf(files))
	return data, nil
}

func (s *sideInputs) known() *jobs.SideData {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.data
}

// keep holds what was read, and was reserved, for the attempts to come, unless the job has been dropped meanwhile: it says whether it
// does.
func (s *sideInputs) keep(data *jobs.SideData, bytes int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.dropped {
		s.data, s.bytes = data, bytes
	}
	return !s.dropped
}

// drop lets them go. Attempts that have them, and were given up, keep them to their end.
func (s *sideInputs) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held.Add(-s.bytes)
	s.data, s.bytes, s.dropped = nil, 0, true
}

func sizeOf(files []plan.SideInput) (bytes int64) {
	for _, f := range files {
		bytes += f.Size
	}
	return bytes
}

// reserve counts side inputs as held before they are read, since other jobs read theirs at the same time. It refuses those that,
// with what other jobs hold, leave the worker too little memory for its work.
func (s *sideInputs) reserve(files []plan.SideInput, memory int64) error {
	bytes, limit := sizeOf(files), memory/sideShare
	others := s.held.Load()
	for bytes+others <= limit {
		if s.held.CompareAndSwap(others, others+bytes) {
			return nil
		}
		others = s.held.Load()
	}
	they := fmt.Sprintf("side inputs (%s the first): they have %v", files[0].URL, jobs.Size(bytes))
	const remedy = "give workers more with --memory, or name smaller files"
	if bytes > limit {
		return fmt.Errorf("%s, more than half of the %v of memory that this worker has: %s", they, jobs.Size(memory), remedy)
	}
	return fmt.Errorf("%s, and with the %v of other jobs under way that is more than half of the %v of memory that this worker has: run the jobs one after the other, %s",
		they, jobs.Size(others), jobs.Size(memory), remedy)
}

// readSideInput reads all of a file, which must be what was found when the job was submitted. The storage tries again what may
// pass, and goes on where a body broke off.
func readSideInput(ctx context.Context, st *storage.Store, f plan.SideInput) ([]byte, error) {
	body, info, err := st.Read(ctx, f.URL, 0, f.Size, f.ETag)
	if err == nil {
		defer body.Close()
		if info.Size != f.Size {
			err = fmt.Errorf("read %s: it has %d bytes now, had %d: %w", f.URL, info.Size, f.Size, storage.ErrChanged)
		}
	}
	var data []byte
	if err == nil {
		data = make([]byte, f.Size)
		_, err = io.ReadFull(body, data)
	}
	if err == nil { // the end says whether the file changed while it was read
		_, err = io.Copy(io.Discard, body)
	}
	if errors.Is(err, storage.ErrChanged) {
		err = fmt.Errorf("input changed during the job: %w", err)
	}
	return data, err
}
