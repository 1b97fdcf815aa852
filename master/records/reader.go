package records

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage"
)

// Reader decodes what Writers have written of one job, block by block in their order.
type Reader struct {
	job    sched.JobID
	texts  *texts // nil before the first block of tasks
	at     int64
	last   [3]place
	worker sched.WorkerID
	runs   map[sched.WorkerID]string
	id     string
	names  []string

	into *Batch // what is read into; nil: what is yielded is new
	slot *slot  // of the last outcome there
}

// NewReader returns the reader of a job's blocks.
func NewReader(job sched.JobID) *Reader { return &Reader{job: job} }

// Tasks decodes the body of a block of tasks and calls yield for each record, with RecordSelected for its outcome too, until it
// returns an error. What it yields is the caller's.
func (r *Reader) Tasks(body []byte, yield func(at time.Time, rec sched.Record, o *wire.Outcome) error) error {
	d := &decoder{b: body}
	flags := d.take(1)[0]
	switch {
	case flags > anew:
		return fmt.Errorf("tasks with the mark %d: %w", flags, ErrNewer)
	case flags == anew:
		*r = Reader{job: r.job, texts: new(texts), runs: map[sched.WorkerID]string{}, into: r.into}
	case r.texts == nil:
		return damaged("its first tasks go on from others, which are missing")
	}
	r.at += d.varint()
	at := time.UnixMilli(r.at).UTC()
	for n := 0; len(d.b) > 0; n++ {
		rec, o := r.record(d)
		if d.err != nil {
			return fmt.Errorf("task record %d: %w", n, d.err)
		}
		if err := yield(at, rec, o); err != nil {
			return err
		}
	}
	return d.err
}

func (r *Reader) record(d *decoder) (rec sched.Record, o *wire.Outcome) {
	head := d.take(1)[0]
	phase := sched.Phase(head & phaseMask >> phaseShift)
	rec.Kind, rec.Job = sched.RecordKind(head&kindMask), r.job
	if phase > sched.Reduce {
		d.fail("phase %d", phase)
		return rec, nil
	}
	switch rec.Kind {
	case sched.RecordState:
		rec.State, rec.Reason = sched.JobState(d.take(1)[0]), string(d.bytes())
	case sched.RecordLost, sched.RecordRemake:
		rec.Attempt = r.attempt(d, phase, head)
	case sched.RecordSelected:
		rec.Attempt = r.attempt(d, phase, head)
		if head&sameWorker == 0 {
			r.worker = sched.WorkerID(r.texts.text(d, -1))
		}
		rec.Worker = r.worker
		rec.Checksum = binary.LittleEndian.Uint64(d.take(8))
		o = r.outcome(d, &rec)
	default:
		if d.err == nil {
			d.err = fmt.Errorf("kind %d: %w", rec.Kind, ErrNewer)
		}
	}
	return rec, o
}

func (r *Reader) attempt(d *decoder, phase sched.Phase, head byte) sched.AttemptID {
	last := &r.last[phase]
	last.index += int(d.varint())
	if head&sameN == 0 {
		last.n += int(d.varint())
	}
	if last.index < 0 || last.n < 0 {
		d.fail("attempt %d of task %d", last.n, last.index)
	}
	return sched.AttemptID{Task: sched.TaskID{Job: r.job, Phase: phase, Index: last.index}, N: last.n}
}

func (r *Reader) outcome(d *decoder, rec *sched.Record) *wire.Outcome {
	fields := d.uvarint()
	if fields > hasAll {
		if d.err == nil {
			d.err = fmt.Errorf("an outcome with the fields %#x: %w", fields, ErrNewer)
		}
		return nil
	}
	o := r.newOutcome()
	o.Attempt, o.Records, o.CountersCut = rec.Attempt, d.varint(), fields&hasCountersOf != 0
	index := rec.Attempt.Task.Index
	if fields&hasRun != 0 {
		o.Map = r.run(d, rec, fields)
	}
	r.counters(d, o, fields)
	if fields&hasSpilled != 0 {
		o.Spilled = d.varint()
	}
	if fields&hasSample != 0 {
		o.Sample = new(wire.SampleResult)
		for range d.count(1) {
			o.Sample.Bounds = append(o.Sample.Bounds, d.clone())
		}
	}
	if fields&hasReduce != 0 {
		o.Reduce = &wire.ReduceResult{Groups: d.varint()}
		o.Bytes = d.varint()
	}
	if fields&hasCut != 0 {
		o.Cut = &wire.Cut{First: d.varint(), Next: d.varint()}
	}
	if fields&hasParts != 0 {
		o.Parts = make([]wire.Part, 0, d.count(leastPart))
		for range cap(o.Parts) {
			o.Parts = append(o.Parts, r.part(d, index))
		}
	}
	if fields&hasFirst != 0 {
		for range d.count(1) {
			o.FirstRejected = append(o.FirstRejected, string(d.bytes()))
		}
	}
	return o
}

func (r *Reader) run(d *decoder, rec *sched.Record, fields uint64) *wire.MapResult {
	m := r.newRun()
	if fields&hasRunLike != 0 {
		var digits [32]byte
		hex.Encode(digits[:], d.take(16))
		m.URL = r.texts.join(d, r.runs[rec.Worker], digits[:], "")
	} else {
		m.URL = r.texts.text(d, rec.Attempt.Task.Index)
		if begin, ok := runBegin(m.URL); ok && (len(r.runs) < maxTexts || r.runs[rec.Worker] != "") {
			r.runs[rec.Worker] = begin
		}
	}
	m.Size, m.Pairs, m.Checksum = d.varint(), d.varint(), rec.Checksum
	if fields&hasOwnSum != 0 {
		m.Checksum = binary.LittleEndian.Uint64(d.take(8))
	}
	return m
}

// leastPart and leastCounter are the fewest bytes of a part, and of a counter with its name.
const (
	leastPart    = 11
	leastCounter = 2
)

func (r *Reader) part(d *decoder, index int) (p wire.Part) {
	p.Name = r.texts.text(d, index)
	pieces := d.uvarint()
	url := r.texts.text(d, -1)
	if pieces&1 != 0 {
		url += "/" + p.Name
	}
	n := d.uvarint()
	if n > uint64(len(r.id)) {
		d.fail("an upload that shares %d bytes with one of %d", n, len(r.id))
		n = 0
	}
	r.id = r.id[:n] + string(d.bytes())
	d.made(len(r.id) + len(url))
	p.Pending = storage.Pending{URL: url, ID: r.id, Parts: int(pieces >> 1), Size: d.varint()}
	p.Pending.CRC32C = binary.LittleEndian.Uint32(d.take(4))
	p.Pending.ETag = r.texts.text(d, -1)
	p.Rows = d.varint()
	return p
}

func (r *Reader) counters(d *decoder, o *wire.Outcome, fields uint64) {
	if fields&hasCounters == 0 {
		return
	}
	if fields&hasSameNames != 0 {
		o.Counters = r.newCounters()
		for _, name := range r.names {
			o.Counters[name] = d.varint()
		}
		return
	}
	n := d.count(leastCounter)
	r.names = make([]string, 0, n)
	var values []int64
	for range n {
		r.names = append(r.names, r.texts.text(d, -1))
		values = append(values, d.varint())
	}
	o.Counters = r.newCounters()
	for i, name := range r.names {
		o.Counters[name] = values[i]
	}
}
