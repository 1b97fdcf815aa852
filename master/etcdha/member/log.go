package member

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// ordinary are what etcd warns of where all is as it is meant to be, with what else an entry must say to be left out.
var ordinary = []struct{ message, cause string }{
	{"Running http and grpc server on single port. This is not recommended for production.", ""}, // there is no client listener at all
	{"simple token is not cryptographically signed", ""},                                         // there are no users
	// Of a new database whose first records are not on disk yet; etcd tries again some seconds later.
	{"Failed to detect schema version", "missing term information"},
	{"failed to update storage version", "missing term information"},
	{"setting up serving from embedded etcd failed.", "use of closed network connection"}, // the end of a member
}

func isOrdinary(message string, fields map[string]any) bool {
	for _, o := range ordinary {
		if cause, _ := fields["error"].(string); message == o.message && strings.Contains(cause, o.cause) {
			return true
		}
	}
	return false
}

// core is etcd's logger on top of ours: warnings and worse go through. While the member closes, etcd warns of all that it gives
// up: then only errors do.
type core struct {
	log     *slog.Logger
	closing *atomic.Bool
	fields  []zapcore.Field
}

func newLogger(log *slog.Logger, closing *atomic.Bool) *zap.Logger {
	return zap.New(&core{log: log, closing: closing})
}

func (c *core) Enabled(l zapcore.Level) bool {
	return l > zapcore.WarnLevel || l == zapcore.WarnLevel && !c.closing.Load()
}

func (c *core) With(fields []zapcore.Field) zapcore.Core {
	return &core{c.log, c.closing, slices.Concat(c.fields, fields)}
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
	if isOrdinary(e.Message, enc.Fields) {
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
