package member

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Warnings and errors of etcd reach our log, with their fields in order; what is ordinary and what is mere information do not.
func TestLog(t *testing.T) {
	t.Parallel()
	var s *sink
	for _, c := range []struct {
		name string
		log  func(*zap.Logger)
		want string
	}{
		{"information", func(l *zap.Logger) { l.Info("elected") }, ""},
		{"warning", func(l *zap.Logger) { l.Warn("slow", zap.Int("b", 2), zap.String("a", "x y")) }, "level=WARN msg=\"etcd: slow\" a=\"x y\" b=2\n"},
		{"error", func(l *zap.Logger) { l.Error("broken", zap.Error(errors.New("why"))) }, "level=ERROR msg=\"etcd: broken\" error=why\n"},
		{"with", func(l *zap.Logger) { l.With(zap.Int("id", 1)).Warn("slow") }, "level=WARN msg=\"etcd: slow\" id=1\n"},
		{"repeated", func(l *zap.Logger) {
			for range 3 {
				l.Warn("lost", zap.String("remote-peer-id", "a"))
			}
			l.Warn("lost", zap.String("remote-peer-id", "b"))
			now := time.Now()
			s.repeats(zapcore.Entry{Message: "later", Time: now.Add(repeatAfter)}, nil)
			l.Warn("lost", zap.String("remote-peer-id", "a"))
		}, strings.ReplaceAll("level=WARN msg=\"etcd: lost\" remote-peer-id=a\n|b\n|a\n", "\n|", "\nlevel=WARN msg=\"etcd: lost\" remote-peer-id=")},
		{"removed", func(l *zap.Logger) {
			l.Info(removedMessage)
			l.Warn(removedMessage)
			if !s.removed.Load() {
				t.Error("it is not seen that the member was removed")
			}
		}, "level=WARN msg=\"etcd: " + removedMessage + "\"\n"},
		{"ordinary", func(l *zap.Logger) { l.Warn(ordinary[0].message) }, ""},
		{"ordinary, of a term", func(l *zap.Logger) {
			l.Warn("7572bdc0022ae527 cannot campaign at term 1 since there are still pending configuration changes to apply")
		}, ""},
		{"ordinary cause", func(l *zap.Logger) {
			l.Error("failed to update storage version", zap.Error(errors.New("cannot: missing term information")))
		}, ""},
		{"warning at the end", func(l *zap.Logger) { s.closing.Store(true); l.Warn("slow") }, ""},
		{"error at the end", func(l *zap.Logger) { s.closing.Store(true); l.Error("broken") }, "level=ERROR msg=\"etcd: broken\"\n"},
		{"other cause", func(l *zap.Logger) { l.Error("failed to update storage version", zap.Error(errors.New("disk"))) },
			"level=ERROR msg=\"etcd: failed to update storage version\" error=disk\n"},
	} {
		var out strings.Builder
		s = newSink(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}})))
		c.log(s.logger())
		if out.String() != c.want {
			t.Errorf("%s: logged %q, want %q", c.name, out.String(), c.want)
		}
	}
}
