package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/millrace/millrace/master/journal"
)

// logFile is a journal's backend in one file, for one master at a time: what the next one loads is read from the disk again,
// and nothing of it counts as the master's memory. Each write is synced, as etcd's are. It elects whoever asks.
//
// The file is a series of entries: the length of the rest, the kind, the term, the job, its Seq, and the records; lengths and
// numbers are unsigned varints. A torn entry at the end was never answered, and ends the reading.
type logFile struct {
	mu     sync.Mutex
	f      *os.File
	term   uint64
	next   map[journal.JobID]uint64
	claims map[string]journal.JobID
	leader string
	writes int
	bytes  int64
}

// Kinds of entries.
const (
	kindTerm = iota
	kindEntry
	kindReplaced
	kindClaim
	kindRelease
)

// openLogFile opens or makes the file and reads what it needs to go on: terms, claims and what comes next.
func openLogFile(path string) (*logFile, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	l := &logFile{f: f, next: map[journal.JobID]uint64{}, claims: map[string]journal.JobID{}}
	whole, err := l.read(func(kind int, term uint64, e journal.Entry) bool {
		switch kind {
		case kindTerm:
			l.term = term
		case kindEntry:
			l.next[e.Job] = e.Seq + 1
		case kindReplaced:
			l.next[e.Job] = uint64(min(1, len(e.Records)))
		case kindClaim:
			l.claims[string(e.Records[0])] = e.Job
		case kindRelease:
			delete(l.claims, string(e.Records[0]))
		}
		return true
	})
	if err == nil {
		err = f.Truncate(whole)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return l, nil
}

// read goes through the whole entries of the file, and says how many bytes they are.
func (l *logFile) read(yield func(kind int, term uint64, e journal.Entry) bool) (whole int64, err error) {
	f, err := os.Open(l.f.Name())
	if err != nil {
		return 0, fmt.Errorf("read journal: %w", err)
	}
	defer f.Close() // it was only read
	r := bufio.NewReaderSize(f, 1<<20)
	for {
		n, err := binary.ReadUvarint(r)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return whole, nil
		}
		if err != nil || n > 1<<30 {
			return whole, fmt.Errorf("read journal %s: an entry of %d bytes: %w", f.Name(), n, err)
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(r, b); err != nil {
			return whole, nil // torn: it was never answered
		}
		kind, term, e := decode(b)
		if !yield(kind, term, e) {
			return whole, nil
		}
		whole += int64(len(binary.AppendUvarint(nil, n))) + int64(n)
	}
}

// decode takes an entry apart that encode has put together.
func decode(b []byte) (kind int, term uint64, e journal.Entry) {
	number := func() uint64 {
		v, n := binary.Uvarint(b)
		b = b[n:]
		return v
	}
	text := func() []byte {
		n := number()
		t := b[:n:n]
		b = b[n:]
		return t
	}
	kind, term = int(number()), number()
	e.Job, e.Seq = journal.JobID(text()), number()
	for range number() {
		e.Records = append(e.Records, text())
	}
	return kind, term, e
}

func encode(b []byte, kind int, term uint64, e journal.Entry) []byte {
	var body []byte
	text := func(t []byte) { body = append(binary.AppendUvarint(body, uint64(len(t))), t...) }
	body = binary.AppendUvarint(binary.AppendUvarint(body, uint64(kind)), term)
	text([]byte(e.Job))
	body = binary.AppendUvarint(binary.AppendUvarint(body, e.Seq), uint64(len(e.Records)))
	for _, r := range e.Records {
		text(r)
	}
	return append(binary.AppendUvarint(b, uint64(len(body))), body...)
}

// writeLocked makes entries of one kind durable, as one write of that term.
func (l *logFile) writeLocked(ctx context.Context, kind int, term uint64, entries ...journal.Entry) error {
	if term != l.term {
		return fmt.Errorf("%w: term %d, now %d", journal.ErrFenced, term, l.term)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	var b []byte
	for _, e := range entries {
		b = encode(b, kind, term, e)
	}
	if _, err := l.f.Write(b); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	if err := l.f.Sync(); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	l.writes++
	l.bytes += int64(len(b))
	return nil
}

// Append implements journal.Backend.
func (l *logFile) Append(ctx context.Context, term uint64, entries []journal.Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range entries {
		if e.Seq != l.next[e.Job] {
			return fmt.Errorf("job %s: entry %d, expected %d", e.Job, e.Seq, l.next[e.Job])
		}
	}
	if err := l.writeLocked(ctx, kindEntry, term, entries...); err != nil {
		return err
	}
	for _, e := range entries {
		l.next[e.Job] = e.Seq + 1
	}
	return nil
}

// Load implements journal.Backend. Jobs that were replaced are yielded from the replacement on.
func (l *logFile) Load(ctx context.Context, yield func(journal.Entry) bool) error {
	replaced := map[journal.JobID]int{}
	_, err := l.read(func(kind int, _ uint64, e journal.Entry) bool {
		if kind == kindReplaced {
			replaced[e.Job]++
		}
		return true
	})
	if err != nil {
		return err
	}
	_, err = l.read(func(kind int, _ uint64, e journal.Entry) bool {
		switch {
		case ctx.Err() != nil:
			return false
		case kind == kindReplaced:
			replaced[e.Job]--
		case kind != kindEntry:
			return true
		}
		if replaced[e.Job] > 0 || len(e.Records) == 0 {
			return true
		}
		return yield(e)
	})
	return errors.Join(err, ctx.Err())
}

// Claim implements journal.Backend.
func (l *logFile) Claim(ctx context.Context, term uint64, output string, job journal.JobID) (journal.JobID, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if holder, ok := l.claims[output]; ok {
		return holder, nil
	}
	if err := l.writeLocked(ctx, kindClaim, term, journal.Entry{Job: job, Records: [][]byte{[]byte(output)}}); err != nil {
		return "", err
	}
	l.claims[output] = job
	return job, nil
}

// Release implements journal.Backend.
func (l *logFile) Release(ctx context.Context, term uint64, output string, job journal.JobID) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.claims[output] != job {
		return nil
	}
	delete(l.claims, output)
	return l.writeLocked(ctx, kindRelease, term, journal.Entry{Job: job, Records: [][]byte{[]byte(output)}})
}

// Replace implements journal.Backend.
func (l *logFile) Replace(ctx context.Context, term uint64, job journal.JobID, records [][]byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next[job] = uint64(min(1, len(records)))
	return l.writeLocked(ctx, kindReplaced, term, journal.Entry{Job: job, Records: records})
}

// Campaign implements journal.Election: there is no other master.
func (l *logFile) Campaign(ctx context.Context, c journal.Candidate) (journal.Term, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.term++
	l.leader = c.Address
	if err := l.writeLocked(ctx, kindTerm, l.term, journal.Entry{}); err != nil {
		return journal.Term{}, err
	}
	return journal.Term{N: l.term, Done: make(chan struct{}), Reign: reign{}}, nil
}

// Leader implements journal.Election.
func (l *logFile) Leader() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.leader
}

// counts says how many writes there were, and of how many bytes.
func (l *logFile) counts() (writes int, bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.writes, l.bytes
}

// reign is a hold on a term that nobody contends for.
type reign struct{}

func (reign) Lasts() bool                   { return true }
func (reign) Confirm(context.Context) error { return nil }
func (reign) Resign(context.Context) error  { return nil }
