package wire

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
)

// A job's run log has an event for each map at least, and each reduce task reads all of it: a thousand reduce tasks and a million
// maps make a milliard of events to send. So a master packs its older part once into pages, of some 40 bytes an event, keeps these
// in place of the events, and sends them as they are to those who ask for packed ones.
//
//	page    uvarint number of events; the events
//	event   varint map task, as the difference to the last event's; uvarint 2 × number of the attempt, + 1 if its run is lost; and
//	        of one that is not: URL; checksum (8 bytes, little endian); varint size; varint pairs
//	URL     uvarint 2 × prefix + 1 if sixteen bytes follow that the URL ends in, in hexadecimal: prefix 0 is a new one, which follows
//	        (uvarint length, bytes), p > 0 the (p-1)th of the page

// maxUnpacked bounds the events of a reply, its pages' all together: some 200 MiB once unpacked.
const maxUnpacked = maxReplyValues

var errPage = errors.New("damaged page of a run log")

// hexTail is how many hexadecimal digits at a URL's end are kept as bytes.
const hexTail = 32

// PackRuns makes a page of events.
func PackRuns(events []RunEvent) []byte {
	b := binary.AppendUvarint(make([]byte, 0, 48*len(events)), uint64(len(events)))
	prefixes := map[string]uint64{}
	last := 0
	for _, e := range events {
		b = binary.AppendVarint(b, int64(e.Attempt.Task.Index-last))
		last = e.Attempt.Task.Index
		n := uint64(e.Attempt.N) << 1
		if e.Lost {
			b = binary.AppendUvarint(b, n|1)
			continue
		}
		b = packURL(binary.AppendUvarint(b, n), e.Run.URL, prefixes)
		b = binary.LittleEndian.AppendUint64(b, e.Run.Checksum)
		b = binary.AppendVarint(binary.AppendVarint(b, e.Run.Size), e.Run.Pairs)
	}
	return slices.Clip(b)
}

func packURL(b []byte, url string, prefixes map[string]uint64) []byte {
	var tail [hexTail / 2]byte
	prefix, form := url, uint64(0)
	if at := len(url) - hexTail; at >= 0 {
		if _, err := hex.Decode(tail[:], []byte(url[at:])); err == nil && hex.EncodeToString(tail[:]) == url[at:] {
			prefix, form = url[:at], 1
		}
	}
	if p, known := prefixes[prefix]; known {
		b = binary.AppendUvarint(b, p<<1|form)
	} else {
		prefixes[prefix] = uint64(len(prefixes) + 1)
		b = binary.AppendUvarint(b, form)
		b = append(binary.AppendUvarint(b, uint64(len(prefix))), prefix...)
	}
	if form == 1 {
		b = append(b, tail[:]...)
	}
	return b
}

// UnpackRuns gives the events of a page of a job's log. What is no such page is an error, and takes no more memory than its length
// accounts for, and than maxUnpacked events do.
func UnpackRuns(page []byte, job JobID) ([]RunEvent, error) {
	r := pageReader{b: page}
	n := r.uvarint()
	if n > uint64(len(page)) || n > maxUnpacked { // each takes two bytes at least
		return nil, fmt.Errorf("%w: %d events in %d bytes", errPage, n, len(page))
	}
	events := make([]RunEvent, 0, n)
	index := int64(0)
	for range n {
		index += r.varint()
		number := r.uvarint()
		if r.bad || index < 0 || index > math.MaxInt32 || number>>1 > math.MaxInt32 {
			return nil, fmt.Errorf("%w: event %d", errPage, len(events))
		}
		e := RunEvent{Attempt: AttemptID{Task: TaskID{Job: job, Phase: Map, Index: int(index)}, N: int(number >> 1)}, Lost: number&1 == 1}
		if !e.Lost {
			e.Run = MapResult{URL: r.url(), Checksum: r.checksum(), Size: r.varint(), Pairs: r.varint()}
		}
		events = append(events, e)
	}
	if r.bad || len(r.b) > 0 {
		return nil, fmt.Errorf("%w: %d bytes are left of it after %d events", errPage, len(r.b), n)
	}
	return events, nil
}

// pageReader reads what PackRuns wrote. Once something is missing, it is bad and gives zeros.
type pageReader struct {
	b        []byte
	bad      bool
	prefixes []string
}

func (r *pageReader) used(n int) {
	if n <= 0 {
		r.bad, n = true, 0
		r.b = nil
	}
	r.b = r.b[n:]
}

func (r *pageReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	r.used(n)
	return v
}

func (r *pageReader) varint() int64 {
	v, n := binary.Varint(r.b)
	r.used(n)
	return v
}

// bytes gives the next n bytes.
func (r *pageReader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *pageReader) checksum() uint64 {
	b := r.bytes(8)
	if r.bad {
		return 0
	}
	return binary.LittleEndian.Uint64(b)
}

func (r *pageReader) url() string {
	v := r.uvarint()
	if v>>1 == 0 {
		r.prefixes = append(r.prefixes, string(r.bytes(r.uvarint())))
		v |= uint64(len(r.prefixes)) << 1
	}
	if v>>1 > uint64(len(r.prefixes)) {
		r.bad = true
		return ""
	}
	prefix := r.prefixes[v>>1-1]
	if v&1 == 0 {
		return prefix
	}
	var text [hexTail]byte
	hex.Encode(text[:], r.bytes(hexTail/2))
	return prefix + string(text[:])
}

// All gives a reply's events, those of its packed pages first.
func (r *RunsReply) All(job JobID) ([]RunEvent, error) {
	if len(r.Packed) == 0 {
		return r.Events, nil
	}
	var all []RunEvent
	for _, page := range r.Packed {
		events, err := UnpackRuns(page, job)
		if err != nil {
			return nil, err
		}
		if all = append(all, events...); len(all) > maxUnpacked {
			return nil, fmt.Errorf("%w: more than %d events in a reply", errPage, maxUnpacked)
		}
	}
	return append(all, r.Events...), nil
}
