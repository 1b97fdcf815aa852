// Package sessions finds the visits in web server access logs: the requests of one client in which no two that follow each
// other are further apart than a given time.
//
// The requests of a client reach the reduce function in the order of time, whatever the order of the log's files: option OrderBy
// has the engine sort them, and nothing is held in memory, though a crawler makes millions of requests.
package sessions

import (
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/accesslog"
)

// Params are what a submitter may choose.
type Params struct {
	By   string        `param:"by" default:"host" oneof:"host|user|visitor" help:"who has sessions: hosts, users who logged in (all others are the user -), or visitors: host and user agent together"`
	Idle time.Duration `param:"idle" default:"30m" help:"a session ends when no request follows for longer than this; whole seconds"`
}

// Validate reports a parameter that makes no sense.
func (p Params) Validate() error {
	if p.Idle < time.Second || p.Idle%time.Second != 0 {
		return fmt.Errorf("parameter idle: %v: logs state times in seconds: give 1s or more, in whole seconds", p.Idle)
	}
	return nil
}

// Row is a row of the result: one session.
type Row struct {
	Key     string
	Session int64     // of the key, from 1
	Start   time.Time // of its first request
	End     time.Time // of its last request
	Hits    int64
	Bytes   int64 // sent, without headers
}

// hit is one request.
type hit struct {
	Second int64 // since 1970
	Bytes  int64
}

// Job returns the job "sessions".
func Job() *jobs.Job {
	return jobs.Define("sessions", func(_ *jobs.Task, p Params) (jobs.Code, error) {
		return jobs.MapReduce(p.read, p.split, jobs.OrderBy(func(h hit) int64 { return h.Second })), nil
	}, jobs.Doc("Finds sessions in web server access logs (common or combined log format): requests of one client without a long pause.\n"+
		"One row per session: key, session, start, end, hits, bytes; the sessions of a key in the order of time."))
}

// read is the map function.
func (p Params) read(line string, emit func(string, hit)) error {
	e, err := accesslog.Parse(line)
	if err != nil {
		return err
	}
	key := e.Host
	switch p.By {
	case "user":
		key = e.User
	case "visitor":
		key = e.Host + " " + e.Agent
	}
	if !utf8.ValidString(key) {
		return fmt.Errorf("the key %.100q is not valid UTF-8: convert the input to UTF-8", key)
	}
	emit(key, hit{e.Time.Unix(), e.Bytes})
	return nil
}

// split is the reduce function: hits come in the order of time.
func (p Params) split(key string, hits jobs.Values[hit], emit func(Row)) error {
	idle := int64(p.Idle / time.Second)
	var row Row
	var last int64
	for h := range hits.All() {
		if row.Hits > 0 && h.Second-last > idle {
			row.End = time.Unix(last, 0)
			emit(row)
			row = Row{Session: row.Session}
		}
		if row.Hits == 0 {
			row.Key, row.Session, row.Start = key, row.Session+1, time.Unix(h.Second, 0)
		}
		row.Hits++
		row.Bytes += h.Bytes
		last = h.Second
	}
	row.End = time.Unix(last, 0)
	emit(row)
	return nil
}
