// Package doctor finds out whether a bucket, or a local folder, behaves as millrace needs: conditional writes that let one
// writer win, uploads that are invisible until they are completed, ranges of one version of an object, listings that are true
// at once. It tries these things under a name of its own, says what it saw in words, and removes what it made.
//
// What misbehaves is caught in the act: a failure proves that the store is not suitable, and a verdict of suitable says that no
// failure came up in this many tries. More writers, rounds and objects make it a better one.
//
// It examines a storage.Backend by way of a storage.Store, which is how jobs use it, and knows nothing of jobs. The command
// doctor calls it.
//
//	conditional.go   who wins a conditional write
//	pending.go       uploads
//	reading.go       overwriting, ranges, versions
//	listing.go       listings and names
//	speed.go         clock, latency, throughput
//	traces.go        what was made, and its removal
package doctor

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/storage"
)

// Prefix begins the name of the folder that an examination works in: hidden, so that no job takes it for input.
const Prefix = ".millrace-doctor-"

// The defaults of Options.
const (
	DefaultWriters = 32
	DefaultRounds  = 5
	DefaultObjects = 1100 // more than the page of 1,000 in which S3 lists
	DefaultBytes   = 64 << 20
	DefaultTime    = 25 * time.Second
)

// A store that fails for a moment is asked again, a few times: the examination is of what it answers.
const (
	attempts    = 4
	callTimeout = 10 * time.Second
	parallel    = 16 // calls at a time, where it does not matter
)

// Options bound an examination. Zero values mean the defaults.
type Options struct {
	Writers int           // of one object at a time (default 32)
	Rounds  int           // of such races (default 5)
	Objects int           // written for the listings, beside some with unusual names (default 1,100)
	Bytes   int64         // written, and read, to measure the throughput (default 64 MiB)
	Time    time.Duration // of all checks; what has not been found out by then is not known (default 25 s)

	Progress func(check string) // is told of each check before it begins
	Now      func() time.Time   // default time.Now
	Name     func() string      // of the folder to work in, behind Prefix; default random

	partBytes int // of uploads, for tests; default partBytes
}

func (o Options) fill() Options {
	o.Writers = max(2, cmp.Or(o.Writers, DefaultWriters))
	o.Rounds = max(1, cmp.Or(o.Rounds, DefaultRounds))
	o.Objects = max(4, cmp.Or(o.Objects, DefaultObjects))
	o.Bytes = max(1<<20, cmp.Or(o.Bytes, DefaultBytes))
	o.Time = cmp.Or(o.Time, DefaultTime)
	o.partBytes = cmp.Or(o.partBytes, partBytes)
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Name == nil {
		o.Name = randomName
	}
	return o
}

func randomName() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// Status is how a check ended.
type Status string

// The ends of a check.
const (
	OK      Status = "ok"
	Failed  Status = "failed"  // the store misbehaved
	Warning Status = "warning" // it misbehaved in a way that jobs survive
	Unknown Status = "unknown" // it could not be found out
)

// Result is what a check found.
type Result struct {
	Check   string  `json:"check"`
	Status  Status  `json:"status"`
	Seen    string  `json:"seen"`
	Lost    string  `json:"lost,omitempty"` // the guarantee that does not hold
	Do      string  `json:"do,omitempty"`   // what to do about it
	Seconds float64 `json:"seconds"`
}

// Report is what an examination found.
type Report struct {
	URL      string   `json:"url"`
	Folder   string   `json:"folder"` // that was worked in, and removed
	Suitable bool     `json:"suitable"`
	Verdict  string   `json:"verdict"`
	Results  []Result `json:"checks"`
	Speed    *Speed   `json:"speed,omitempty"`
	Requests int64    `json:"requests"` // to the store, all in all
	Left     []string `json:"left"`     // URLs of what could not be removed, uploads with their ids; at most maxLeft
	Seconds  float64  `json:"seconds"`
}

// exam is an examination at work.
type exam struct {
	o      Options
	traces *traces
	store  *storage.Store // over traces
	folder string         // URL, ends in a slash
	key    string         // the same within the backend
	speed  *Speed
}

// check is one thing to find out. run says what it saw; its error is of kind fault where the store misbehaved.
type check struct {
	name  string
	minor bool // jobs survive it
	lost  string
	do    string
	run   func(*exam, context.Context) (seen string, err error)
}

// fault is a store's misbehaviour.
type fault struct{ text string }

func (f *fault) Error() string { return f.text }

func faultf(format string, args ...any) error { return &fault{fmt.Sprintf(format, args...)} }

// checks are all checks, in an order in which a failure explains what follows it.
func checks() []check {
	all := []check{access}
	for _, some := range [][]check{readChecks, conditionalChecks, pendingChecks, listChecks, speedChecks} {
		all = append(all, some...)
	}
	return all
}

// Run examines what lies behind b, under the folder u. It removes what it made, also when ctx ends: then it returns the
// report of what it found so far, and what it left, beside the error.
func Run(ctx context.Context, b storage.Backend, u storage.URL, o Options) (*Report, error) {
	o = o.fill()
	begun := time.Now()
	if u.Key != "" && !strings.HasSuffix(u.Key, "/") {
		u.Key += "/"
	}
	e := &exam{o: o, traces: newTraces(b), key: u.Key + Prefix + o.Name() + "/"}
	e.folder = storage.URL{Scheme: u.Scheme, Host: u.Host, Key: e.key}.String()
	e.store = storage.New(storage.Options{
		Attempts: attempts, MaxBackoff: time.Second, CallTimeout: callTimeout, IdleTimeout: callTimeout,
		Schemes: map[string]storage.Opener{
			u.Scheme: func(context.Context, string) (storage.Backend, error) { return e.traces, nil },
		},
	})
	r := &Report{URL: u.String(), Folder: e.folder, Left: []string{}}
	e.examine(ctx, r)
	o.Progress("cleaning up")
	r.Left = e.clean(context.WithoutCancel(ctx))
	r.Speed, r.Requests, r.Seconds = e.speed, e.traces.requests.Load(), seconds(time.Since(begun))
	r.judge()
	return r, context.Cause(ctx)
}

// examine makes the checks, one after the other, until one of them shows that the others are in vain.
func (e *exam) examine(ctx context.Context, r *Report) {
	tctx, cancel := context.WithTimeoutCause(ctx, e.o.Time, errTime)
	defer cancel()
	for _, c := range checks() {
		if ctx.Err() != nil {
			return
		}
		e.o.Progress(c.name)
		begun := time.Now()
		seen, err := c.run(e, tctx)
		result := c.result(tctx, seen, err)
		result.Seconds = seconds(time.Since(begun))
		r.Results = append(r.Results, result)
		if c.name == access.name && result.Status != OK {
			return
		}
	}
}

// errTime is the end of Options.Time.
var errTime = errors.New("the time is up")

// result judges a check by its error: what the store answered is its fault, what it did not answer is not known.
func (c check) result(ctx context.Context, seen string, err error) Result {
	r := Result{Check: c.name, Status: OK, Seen: seen}
	if err == nil {
		return r
	}
	r.Seen = err.Error()
	var f *fault
	switch {
	case errors.As(err, &f):
	case context.Cause(ctx) == errTime:
		r.Status, r.Seen, r.Do = Unknown, "the time was up before it was found out", "give it more time (--time), or less to do"
		return r
	case ctx.Err() != nil:
		r.Status, r.Seen = Unknown, "interrupted"
		return r
	case storage.IsTransient(err), errors.Is(err, storage.ErrUnreachable):
		r.Status, r.Do = Unknown, "run it again when the store answers"
		return r
	}
	r.Status, r.Lost, r.Do = Failed, c.lost, c.do
	if c.minor {
		r.Status = Warning
	}
	return r
}

// judge puts the results together.
func (r *Report) judge() {
	count := map[Status]int{}
	for _, result := range r.Results {
		count[result.Status]++
	}
	complete := len(r.Results) == len(checks())
	r.Suitable = complete && count[Failed] == 0 && count[Unknown] == 0
	switch {
	case count[Failed] > 0 && r.Results[0].Status == Failed:
		r.Verdict = "Not suitable: it cannot be written to and read from as it is."
	case count[Failed] > 0:
		r.Verdict = "Not suitable: do not let jobs write to it. What is lost, and what to do, stands above."
	case !r.Suitable:
		r.Verdict = "Not known: nothing went wrong, but not everything was found out."
	case count[Warning] > 0:
		r.Verdict = "Suitable, with the warnings above: outputs are committed whole or not at all."
	default:
		r.Verdict = "Suitable: outputs are committed whole or not at all."
	}
}

// access is the first check: without it there is nothing to examine.
var access = check{
	name: "access",
	lost: "Nothing can be read from or written to it.",
	do:   "Check the URL, the endpoint and the credentials. They need to get, put, delete and list objects, and to begin, list, complete and abort multipart uploads.",
	run: func(e *exam, ctx context.Context) (string, error) {
		url := e.url("access")
		if err := e.store.Put(ctx, url, []byte("millrace doctor"), false); err != nil {
			return "", err
		}
		if err := e.holds(ctx, url, []byte("millrace doctor")); err != nil {
			return "", err
		}
		if err := e.store.Remove(ctx, url); err != nil {
			return "", err
		}
		return "an object was written, read and removed", e.absent(ctx, url)
	},
}

// url names an object of the examination.
func (e *exam) url(name string) string { return e.folder + name }

// holds checks that an object has these bytes.
func (e *exam) holds(ctx context.Context, url string, want []byte) error {
	got, _, err := e.read(ctx, url, 0, -1, "")
	if errors.Is(err, storage.ErrNotFound) {
		return faultf("an object that was just written is not there")
	}
	if err == nil && !slices.Equal(got, want) {
		return faultf("an object of %d bytes that was just written has other bytes, %d of them", len(want), len(got))
	}
	return err
}

// absent checks that there is no such object.
func (e *exam) absent(ctx context.Context, url string) error {
	_, err := e.store.Stat(ctx, url)
	switch {
	case err == nil:
		return faultf("%s is there, which it must not be", storage.Base(url))
	case errors.Is(err, storage.ErrNotFound):
		return nil
	}
	return err
}

func seconds(d time.Duration) float64 { return float64(d.Milliseconds()) / 1e3 }
