package console

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// A meter is one line on a terminal, drawn anew at most ten times a second, safe and cut to the width, and gone at the end;
// elsewhere, and when nothing is to be shown, it writes nothing.
func TestMeter(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	now := time.Unix(1, 0)
	m := NewMeter(&out, Options{TTY: true, Width: func() int { return 40 }, Now: func() time.Time { return now }})
	m.Bytes("verify", 0, 2_600_000_000)
	first := out.String()
	if !strings.Contains(first, "verify   0%  0 B of 2.6 GB") {
		t.Errorf("first it shows %q", first)
	}
	m.Bytes("verify", 1, 2)
	if out.String() != first {
		t.Errorf("drawn again at once: %q", out.String())
	}
	now = now.Add(2 * time.Second)
	m.Bytes("verify", 1_200_000_000, 2_600_000_000)
	if got := strings.TrimPrefix(out.String(), first); got != "\rverify  46%  1.2 of 2.6 GB  600 MB/s\x1b[K" {
		t.Errorf("then %q", got)
	}
	now = now.Add(time.Second)
	m.Say("a \x1b[31mname\nand " + strings.Repeat("x", 100))
	if got := out.String(); strings.Contains(got, "\x1b[31m") || strings.Contains(got, strings.Repeat("x", 40)) {
		t.Errorf("unsafe or too long: %q", got)
	}
	m.Close()
	m.Say("late")
	if got := out.String(); !strings.HasSuffix(got, "\r\x1b[K") {
		t.Errorf("in the end %q", got)
	}
	for _, o := range []Options{{}, {TTY: true, Quiet: true}} {
		out.Reset()
		m := NewMeter(&out, o)
		m.Bytes("verify", 1, 0)
		m.Close()
		if out.Len() > 0 {
			t.Errorf("%+v: wrote %q", o, out.String())
		}
	}
}

// What programs read is indented JSON in which no text of others can move a terminal's cursor.
func TestWriteJSON(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := WriteJSON(&out, map[string]string{"name": "a<b>\u009b31m\u202e\x1b"}); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "{\n  \"name\": \"a<b>\\u009b31m\\u202e\\u001b\"\n}\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if err := WriteJSON(&out, func() {}); err == nil {
		t.Error("a function became JSON")
	}
}
