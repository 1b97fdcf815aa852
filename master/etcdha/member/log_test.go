package member

import (
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/zap"
)

// Warnings and errors of etcd reach our log, with their fields in order; what is ordinary and what is mere information do not.
func TestLog(t *testing.T) {
	t.Parallel()
	var closing atomic.Bool
	for _, c := range []struct {
		name string
		log  func(*zap.Logger)
		want string
	}{
		{"information", func(l *zap.Logger) { l.Info("elected") }, ""},
		{"warning", func(l *zap.Logger) { l.Warn("slow", zap.Int("b", 2), zap.String("a", "x y")) }, "level=WARN msg=\"etcd: slow\" a=\"x y\" b=2\n"},
		{"error", func(l *zap.Logger) { l.Error("broken", zap.Error(errors.New("why"))) }, "level=ERROR msg=\"etcd: broken\" error=why\n"},
		{"with", func(l *zap.Logger) { l.With(zap.Int("id", 1)).Warn("slow") }, "level=WARN msg=\"etcd: slow\" id=1\n"},
		{"ordinary", func(l *zap.Logger) { l.Warn(ordinary[0].message) }, ""},
		{"ordinary cause", func(l *zap.Logger) {
			l.Error("failed to update storage version", zap.Error(errors.New("cannot: missing term information")))
		}, ""},
		{"warning at the end", func(l *zap.Logger) { closing.Store(true); l.Warn("slow") }, ""},
		{"error at the end", func(l *zap.Logger) { l.Error("broken") }, "level=ERROR msg=\"etcd: broken\"\n"},
		{"other cause", func(l *zap.Logger) { l.Error("failed to update storage version", zap.Error(errors.New("disk"))) },
			"level=ERROR msg=\"etcd: failed to update storage version\" error=disk\n"},
	} {
		var out strings.Builder
		c.log(newLogger(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}})), &closing))
		if out.String() != c.want {
			t.Errorf("%s: logged %q, want %q", c.name, out.String(), c.want)
		}
	}
}
