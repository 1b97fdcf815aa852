package member

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// ordinary are what etcd warns of where all is as it is meant to be: how the message ends, and what else an entry must say to be left
// out.
var ordinary = []struct{ message, cause string }{
	{"Running http and grpc server on single port. This is not recommended for production.", ""}, // there is no client listener at all
	{"simple token is not cryptographically signed", ""},                                         // there are no users
	// Of a new database whose first records are not on disk yet; etcd tries again some seconds later.
	{"Failed to detect schema version", "missing term information"},
	{"failed to update storage version", "missing term information"},
	{" since there are still pending configuration changes to apply", ""},                 // a new member may not be elected yet; it tries again
	{"rejecting promote learner: learner is not ready", ""},                               // it is asked for until it is
	{"setting up serving from embedded etcd failed.", "use of closed network connection"}, // the end of a member
}

func isOrdinary(message string, fields map[string]any) bool {
	for _, o := range ordinary {
		if cause, _ := fields["error"].(string); strings.HasSuffix(message, o.message) && strings.Contains(cause, o.cause) {
			return true
		}
	}
	return false
}

// sink is where etcd's words go: warnings and worse reach our log. While the member closes, etcd warns of all that it gives up:
// then only errors do.
type sink struct {
	log     *slog.Logger
	closing atomic.Bool
	removed atomic.Bool // the others have removed this member: etcd tells nobody but its log

	mu   sync.Mutex
	said map[string]time.Time // when a warning about a peer was written last
}

// removedMessage is what etcd says of a member whom the others have removed.
const removedMessage = "data-dir used by this member must be removed"

// repeatAfter is for how long a warning about the same peer is not written again: etcd warns at each try to reach it.
const repeatAfter = time.Minute

func newSink(log *slog.Logger) *sink { return &sink{log: log, said: map[string]time.Time{}} }

func (s *sink) logger() *zap.Logger { return zap.New(&core{sink: s}) }

// repeats says whether a warning was written a moment ago.
func (s *sink) repeats(e zapcore.Entry, fields map[string]any) bool {
	key := fmt.Sprint(e.Message, fields["remote-peer-id"], fields["remote-member-id"], fields["address"])
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.said, func(_ string, at time.Time) bool { return e.Time.Sub(at) >= repeatAfter })
	if _, ok := s.said[key]; ok {
		return true
	}
	s.said[key] = e.Time
	return false
}

// core is a zap logger with fields on a sink.
type core struct {
	*sink
	fields []zapcore.Field
}

func (c *core) Enabled(l zapcore.Level) bool { return l >= zapcore.WarnLevel }

func (c *core) With(fields []zapcore.Field) zapcore.Core {
	return &core{c.sink, slices.Concat(c.fields, fields)}
}

func (c *core) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

func (c *core) Write(e zapcore.Entry, fields []zapcore.Field) error {
	enc := zapcore.NewMapObjectEncoder()
	for _, f := range slices.Concat(c.fields, fields) {
		f.AddTo(enc)
	}
	if e.Message == removedMessage {
		c.removed.Store(true)
	}
	if isOrdinary(e.Message, enc.Fields) || e.Level == zapcore.WarnLevel && (c.closing.Load() || c.repeats(e, enc.Fields)) {
		return nil
	}
	attrs := make([]slog.Attr, 0, len(enc.Fields))
	for k, v := range enc.Fields {
		attrs = append(attrs, slog.Any(k, v))
	}
	slices.SortFunc(attrs, func(a, b slog.Attr) int { return strings.Compare(a.Key, b.Key) })
	level := slog.LevelWarn
	if e.Level > zapcore.WarnLevel {
		level = slog.LevelError
	}
	c.log.LogAttrs(context.Background(), level, "etcd: "+e.Message, attrs...)
	return nil
}

func (c *core) Sync() error { return nil }
