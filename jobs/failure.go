package jobs

import (
	"fmt"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/jobs/internal/codec"
)

// stop is what emit, or a group's values, panic with to leave the user's function: the error is kept in failed already.
type stop struct{}

// failed keeps the error that ended an attempt: the engine's own (a sink or source that failed), or a *RecordError.
type failed struct{ err error }

// fail keeps err and leaves the user's function.
func (f *failed) fail(err error) {
	if f.err == nil {
		f.err = err
	}
	panic(stop{})
}

// check leaves the user's function again when it goes on after an error.
func (f *failed) check() {
	if f.err != nil {
		panic(stop{})
	}
}

// caught turns what recover returned into the attempt's error. at names the record or key.
func (f *failed) caught(r any, at RecordError) error {
	if f.err != nil {
		return f.err
	}
	if fault, ok := r.(codec.Fault); ok {
		at.Err = fault.Err
		return &at
	}
	if err, ok := r.(error); ok {
		at.Err = fmt.Errorf("panic: %w", err)
	} else {
		at.Err = fmt.Errorf("panic: %v", r)
	}
	at.Stack = userStack()
	return &at
}

// userStack is the stack of a panic that is being recovered, from where it began, without the frames of this package and
// of what calls it.
func userStack() string {
	pcs := make([]uintptr, 256)
	pcs = pcs[:runtime.Callers(2, pcs)]
	own := reflect.TypeFor[Task]().PkgPath() + "."
	var lines []string // a line per frame; ours are empty
	last, begin := 0, 0
	frames := runtime.CallersFrames(pcs)
	for more := len(pcs) > 0; more; {
		var f runtime.Frame
		f, more = frames.Next()
		line := fmt.Sprintf("%s\n\t%s:%d\n", f.Function, f.File, f.Line)
		switch {
		case f.Function == "runtime.gopanic":
			if line = ""; begin == 0 {
				begin = len(lines)
			}
		case strings.HasPrefix(f.Function, own):
			line, last = "", len(lines)
		case strings.HasPrefix(f.Function, "runtime."):
			line = ""
		}
		lines = append(lines, line)
	}
	if last < begin {
		last = len(lines)
	}
	return strings.Join(lines[begin:last], "")
}

// printKey is a key for a message: short and on one line.
func printKey(key any) string {
	const limit = 200
	var s string
	v := reflect.ValueOf(key)
	switch t, ok := key.(time.Time); {
	case ok:
		s = t.Format(time.RFC3339Nano)
	case v.Kind() == reflect.String:
		s = strconv.Quote(clip(v.String(), limit))
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8:
		s = strconv.Quote(clip(string(v.Bytes()), limit))
	default:
		s = strings.ReplaceAll(fmt.Sprintf("%+v", key), "\n", " ")
	}
	return clip(s, 4*limit)
}

func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return s[:limit] + "..."
}

func typeName[T any]() string { return reflect.TypeFor[T]().String() }
