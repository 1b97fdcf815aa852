package records

import (
	"encoding/binary"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/master/wire"
)

// What an outcome has. The first are what most have.
const (
	hasRun        = 1 << iota // that of a map attempt
	hasRunLike                // its URL is as that of its worker's last run
	hasCounters               //
	hasSameNames              // the counters are those of the last outcome
	hasOwnSum                 // the run's checksum is not the record's
	hasSpilled                //
	hasParts                  //
	hasSample                 //
	hasReduce                 //
	hasCut                    //
	hasFirst                  // errors of bad records
	hasCountersOf             // more counters were used than are told
	hasAll        = 1<<iota - 1
)

// What a byte in front of a record and of a block of tasks says.
const (
	kindMask   = 15
	phaseShift = 4
	phaseMask  = 3 << phaseShift
	sameN      = 64
	sameWorker = 128

	anew = 1
)

// maxBlock is the size at which a block of tasks is ended, bytes before packing: some thousand tasks, of which nothing is gained by
// more. A record may be longer.
const maxBlock = 128 << 10

// Writer encodes one job's scheduler's records. What it writes must become durable in order, or nothing that it writes later.
type Writer struct {
	c      *Codec
	block  []byte
	done   [][]byte
	begun  bool // it has written a block
	texts  writerTexts
	at     int64 // of the last block
	last   [3]place
	worker sched.WorkerID            // the last one
	runs   map[sched.WorkerID]string // what the URLs of their last runs began with
	id     string                    // of the last upload
	names  []string                  // of the last counters
	sorted []string                  // scratch
}

// place is where an attempt stands.
type place struct{ index, n int }

// NewWriter returns a writer that begins anew.
func NewWriter(c *Codec) *Writer { return &Writer{c: c, runs: map[sched.WorkerID]string{}} }

// Add writes a record, and with RecordSelected its outcome. RecordSubmit is no such record: it is a document of its own.
func (w *Writer) Add(at time.Time, r sched.Record, o *wire.Outcome) {
	if w.block == nil {
		var flags byte
		if !w.begun {
			flags, w.begun = anew, true
		}
		ms := at.UnixMilli()
		w.block = binary.AppendVarint(append(make([]byte, 0, 1<<10), flags), ms-w.at)
		w.at = ms
	}
	t := r.Attempt.Task
	head := byte(r.Kind) | byte(t.Phase)<<phaseShift
	if r.Kind != sched.RecordState && r.Attempt.N == w.last[t.Phase].n {
		head |= sameN
	}
	if r.Kind == sched.RecordSelected && r.Worker == w.worker {
		head |= sameWorker
	}
	b := append(w.block, head)
	if r.Kind == sched.RecordState {
		b = appendString(append(b, byte(r.State)), r.Reason)
	} else {
		b = w.attempt(b, r.Attempt)
	}
	if r.Kind == sched.RecordSelected {
		if head&sameWorker == 0 {
			b = w.texts.appendText(b, string(r.Worker), -1)
			w.worker = r.Worker
		}
		b = binary.LittleEndian.AppendUint64(b, r.Checksum)
		b = w.outcome(b, r, o)
	}
	w.block = b
	if len(b) >= maxBlock {
		w.end()
	}
}

func (w *Writer) end() {
	if w.block != nil {
		w.done = append(w.done, w.c.block(Tasks, w.block))
		w.block = nil
	}
}

// Blocks returns what was added since it was called last.
func (w *Writer) Blocks() [][]byte {
	w.end()
	done := w.done
	w.done = nil
	return done
}

func (w *Writer) attempt(b []byte, a sched.AttemptID) []byte {
	last := &w.last[a.Task.Phase]
	b = binary.AppendVarint(b, int64(a.Task.Index-last.index))
	if a.N != last.n {
		b = binary.AppendVarint(b, int64(a.N-last.n))
	}
	*last = place{a.Task.Index, a.N}
	return b
}

func (w *Writer) outcome(b []byte, r sched.Record, o *wire.Outcome) []byte {
	fields := w.fields(r, o)
	b = binary.AppendUvarint(b, fields)
	b = binary.AppendVarint(b, o.Records)
	if o.Map != nil {
		b = w.run(b, r, o.Map, fields)
	}
	b = w.counters(b, o.Counters, fields)
	if o.Spilled != 0 {
		b = binary.AppendVarint(b, o.Spilled)
	}
	if o.Sample != nil {
		b = binary.AppendUvarint(b, uint64(len(o.Sample.Bounds)))
		for _, bound := range o.Sample.Bounds {
			b = append(binary.AppendUvarint(b, uint64(len(bound))), bound...)
		}
	}
	if o.Reduce != nil {
		b = binary.AppendVarint(b, o.Reduce.Groups)
		b = binary.AppendVarint(b, o.Bytes)
	}
	if o.Cut != nil {
		b = binary.AppendVarint(b, o.Cut.First)
		b = binary.AppendVarint(b, o.Cut.Next)
	}
	if len(o.Parts) > 0 {
		b = binary.AppendUvarint(b, uint64(len(o.Parts)))
		for i := range o.Parts {
			b = w.part(b, &o.Parts[i], r.Attempt.Task.Index)
		}
	}
	if len(o.FirstRejected) > 0 {
		b = binary.AppendUvarint(b, uint64(len(o.FirstRejected)))
		for _, text := range o.FirstRejected {
			b = appendString(b, text)
		}
	}
	return b
}

func (w *Writer) run(b []byte, r sched.Record, m *wire.MapResult, fields uint64) []byte {
	if fields&hasRunLike != 0 {
		b, _ = hex.AppendDecode(b, []byte(m.URL[len(m.URL)-32:])) // fields has looked
	} else {
		b = w.texts.appendText(b, m.URL, r.Attempt.Task.Index)
		if begin, ok := runBegin(m.URL); ok && (len(w.runs) < maxTexts || w.runs[r.Worker] != "") {
			w.runs[r.Worker] = begin
		}
	}
	b = binary.AppendVarint(b, m.Size)
	b = binary.AppendVarint(b, m.Pairs)
	if fields&hasOwnSum != 0 {
		b = binary.LittleEndian.AppendUint64(b, m.Checksum)
	}
	return b
}

// runBegin is what a run's URL begins with, if it ends with 32 hexadecimal digits of its own.
func runBegin(url string) (begin string, ok bool) {
	if at := hexRun(url); at >= 0 && at+32 == len(url) && at <= maxText {
		return url[:at], at > 0
	}
	return "", false
}

// fields says what an outcome has. It leaves the names of its counters in w.sorted.
func (w *Writer) fields(r sched.Record, o *wire.Outcome) (f uint64) {
	w.sorted = slices.AppendSeq(w.sorted[:0], maps.Keys(o.Counters))
	slices.Sort(w.sorted)
	runLike := false
	if o.Map != nil {
		begin, ok := runBegin(o.Map.URL)
		runLike = ok && w.runs[r.Worker] == begin
	}
	for _, x := range [...]struct {
		has bool
		bit uint64
	}{
		{runLike, hasRunLike}, {o.Spilled != 0, hasSpilled}, {o.Sample != nil, hasSample}, {o.Map != nil, hasRun}, {o.Reduce != nil, hasReduce}, {o.Cut != nil, hasCut},
		{len(o.Parts) > 0, hasParts}, {len(w.sorted) > 0, hasCounters}, {len(w.sorted) > 0 && slices.Equal(w.sorted, w.names), hasSameNames},
		{len(o.FirstRejected) > 0, hasFirst}, {o.Map != nil && o.Map.Checksum != r.Checksum, hasOwnSum}, {o.CountersCut, hasCountersOf},
	} {
		if x.has {
			f |= x.bit
		}
	}
	return f
}

func (w *Writer) part(b []byte, p *wire.Part, index int) []byte {
	b = w.texts.appendText(b, p.Name, index)
	folder, inside := strings.CutSuffix(p.Pending.URL, "/"+p.Name)
	if inside && p.Pending.Parts >= 0 {
		b = binary.AppendUvarint(b, uint64(p.Pending.Parts)<<1|1)
		b = w.texts.appendText(b, folder, -1)
	} else {
		b = binary.AppendUvarint(b, uint64(max(0, p.Pending.Parts))<<1)
		b = w.texts.appendText(b, p.Pending.URL, -1)
	}
	n := shared(w.id, p.Pending.ID)
	w.id = p.Pending.ID
	b = binary.AppendUvarint(b, uint64(n))
	b = appendString(b, p.Pending.ID[n:])
	b = binary.AppendVarint(b, p.Pending.Size)
	b = binary.LittleEndian.AppendUint32(b, p.Pending.CRC32C)
	b = w.texts.appendRest(b, p.Pending.ETag)
	return binary.AppendVarint(b, p.Rows)
}

func (w *Writer) counters(b []byte, counters map[string]int64, fields uint64) []byte {
	if fields&hasCounters == 0 {
		return b
	}
	if fields&hasSameNames == 0 {
		b = binary.AppendUvarint(b, uint64(len(w.sorted)))
		w.names = slices.Clone(w.sorted)
	}
	for _, name := range w.sorted {
		if fields&hasSameNames == 0 {
			b = w.texts.appendText(b, name, -1)
		}
		b = binary.AppendVarint(b, counters[name])
	}
	return b
}
