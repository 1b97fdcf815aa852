package storage

import (
	"context"
	"sync/atomic"
)

// RequestKind is what a request asks of an S3-compatible service, as price lists tell them apart.
type RequestKind uint8

const (
	RequestGet      RequestKind = iota // a read of an object or a range of it
	RequestHead                        // a description of an object
	RequestList                        // a page of a listing, also one of uploads or of parts
	RequestPut                         // an object written at once
	RequestDelete                      // an object removed
	RequestCreate                      // a multipart upload begun
	RequestPart                        // a part of one written
	RequestComplete                    // one completed
	RequestAbort                       // one given up
	requestKinds
)

// PageSize is how many entries a page of a listing has at most.
const PageSize = 1000

// Requests are numbers of requests by kind, repeated ones included.
type Requests struct {
	Get, Head, List, Put, Delete  int64
	Create, Part, Complete, Abort int64 // of multipart uploads
}

// of is the number of a kind.
func (r *Requests) of(k RequestKind) *int64 {
	return [...]*int64{&r.Get, &r.Head, &r.List, &r.Put, &r.Delete, &r.Create, &r.Part, &r.Complete, &r.Abort}[k]
}

// Add adds the numbers of o.
func (r *Requests) Add(o Requests) {
	for k := range requestKinds {
		*r.of(k) += *o.of(k)
	}
}

// Total is the number of requests of all kinds.
func (r Requests) Total() (n int64) {
	for k := range requestKinds {
		n += *r.of(k)
	}
	return n
}

// What the requests of S3's price list cost, US dollars each. DELETE and the end of an upload without an object are free.
// Source: the price list of S3 Standard in us-east-1, https://aws.amazon.com/s3/pricing/.
const (
	writePrice = 0.005 / 1000  // PUT, POST, LIST
	readPrice  = 0.0004 / 1000 // GET, HEAD
)

// PriceBasis says in words what Dollars assumes.
const PriceBasis = "list prices of S3 Standard in us-east-1: $0.005 for 1,000 PUT, POST and LIST, $0.0004 for 1,000 GET and HEAD; " +
	"traffic within the region, and DELETE, are free"

// Dollars estimates what the requests cost; see PriceBasis.
func (r Requests) Dollars() float64 {
	return float64(r.List+r.Put+r.Create+r.Part+r.Complete)*writePrice + float64(r.Get+r.Head)*readPrice
}

// Meter counts what the calls under a context ask of services, and the bytes that they move. It may be used by several
// goroutines at once. Local files are asked nothing that costs, so their backend counts no requests.
type Meter struct {
	requests [requestKinds]atomic.Int64
	in, out  atomic.Int64
}

// Requests is what was asked so far.
func (m *Meter) Requests() (r Requests) {
	for k := range requestKinds {
		*r.of(k) = m.requests[k].Load()
	}
	return r
}

// In is the number of bytes of objects read so far, and Out of those written.
func (m *Meter) In() int64  { return m.in.Load() }
func (m *Meter) Out() int64 { return m.out.Load() }

type meterKey struct{}

// WithMeter returns a context whose calls m counts, and no meter above it.
func WithMeter(ctx context.Context, m *Meter) context.Context {
	return context.WithValue(ctx, meterKey{}, m)
}

// meterOf is a context's meter, or one that nobody reads.
func meterOf(ctx context.Context) *Meter {
	if m, ok := ctx.Value(meterKey{}).(*Meter); ok {
		return m
	}
	return new(Meter)
}

// CountRequests is for backends: it counts n requests that were sent under ctx.
func CountRequests(ctx context.Context, k RequestKind, n int64) {
	if m, ok := ctx.Value(meterKey{}).(*Meter); ok {
		m.requests[k].Add(n)
	}
}
