// Package console writes what a person sees of a job in a terminal: progress while it runs, a summary and the first rows
// when it ends, tables of jobs, plans and logs, and the same as JSON for scripts. It is given statuses, plans and rows, of
// which Cat reads those of an output that its caller opened, and writes text. It asks no master and reads no clock or
// environment; of a file it learns whether it is a terminal. The front door and the subcommands of cmd/millrace call it.
//
// Names, paths, errors and values come from users and from data. Before any of it reaches a terminal it passes through
// Line, Lines or a JSON string, so that no one can move the cursor, rename the window or hide text by what is in a file.
package console

import (
	"fmt"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/text"
)

// Line returns s as one line that is safe to show: white space of every kind becomes a blank, control characters and marks
// that reorder text are left out, and bytes that are not UTF-8 become U+FFFD.
func Line(s string) string { return strings.Map(safeRune, valid(s)) }

// Lines is Line for text of several lines, such as a stack: line ends and tabs stay.
func Lines(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return r
		}
		if r == '\r' {
			return -1
		}
		return safeRune(r)
	}, valid(s))
}

func valid(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

func safeRune(r rune) rune {
	switch {
	case r >= ' ' && r < 0x7f:
		return r
	case unicode.IsSpace(r):
		return ' '
	case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r), unicode.In(r, unicode.Zl, unicode.Zp):
		return -1
	}
	return r
}

// cut shortens a safe line to width columns of a terminal, with … at the end of what was cut. 0 columns: as long as it is.
func cut(s string, width int) string {
	if width <= 0 || text.StringWidth(s) <= width {
		return s
	}
	return text.Snip(s, width, "…")
}

// amount is a number of bytes, "1.8 GB".
func amount(n int64) string { return humanize.Bytes(uint64(max(0, n))) }

// amountOf is "1.2 of 1.8 GB", the unit left out of the first when both have the same.
func amountOf(n, total int64) string {
	a, b := amount(n), amount(total)
	if number, unit, _ := strings.Cut(a, " "); strings.HasSuffix(b, " "+unit) {
		a = number
	}
	return a + " of " + b
}

// count is a number with a noun, "1 task", "1,234 tasks".
func count[N int | int64](n N, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return humanize.Comma(int64(n)) + " " + many
}

// speed is bytes per second over a duration, "345 MB/s"; "" when it is next to nothing.
func speed(bytes int64, d time.Duration) string {
	if rate := float64(bytes) / d.Seconds(); d > 0 && rate >= 1e3 && !math.IsInf(rate, 0) {
		return humanize.Bytes(uint64(rate)) + "/s"
	}
	return ""
}

// span is a duration with three digits that matter: "0.41 s", "24.1 s", "3 m 07 s", "2 h 05 m".
func span(d time.Duration) string {
	d = max(0, d)
	switch {
	case d < 10*time.Second-5*time.Millisecond:
		return fmt.Sprintf("%.2f s", d.Seconds())
	case d < time.Minute-50*time.Millisecond:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Hour-500*time.Millisecond:
		d = d.Round(time.Second)
		return fmt.Sprintf("%d m %02d s", d/time.Minute, d%time.Minute/time.Second)
	}
	d = d.Round(time.Minute)
	return fmt.Sprintf("%d h %02d m", d/time.Hour, d%time.Hour/time.Minute)
}

// coarse is span without decimals, for a time that is a guess or that changes each second.
func coarse(d time.Duration) string {
	if d < time.Minute-500*time.Millisecond {
		return fmt.Sprintf("%.0f s", max(0, d).Seconds())
	}
	return span(d)
}

// clock is a time as a clock counts it, "0:09", "1:45", "2:05:00": short and of a steady width.
func clock(d time.Duration) string {
	s := int(max(0, d).Round(time.Second).Seconds())
	if s < 3600 {
		return fmt.Sprintf("%d:%02d", s/60, s%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
}

// place is a URL as its user would type it: local files by their path.
func place(location string) string {
	if u, err := url.Parse(location); err == nil && u.Scheme == "file" && u.Host == "" && u.RawQuery == "" && u.Fragment == "" {
		return u.Path
	}
	return location
}

// inputPlace is place for an input, before which its name may stand: NAME=URL.
func inputPlace(input string) string {
	name, location, ok := strings.Cut(input, "=")
	if !ok || strings.ContainsAny(name, ":/") { // a URL that holds a "="
		return place(input)
	}
	return name + "=" + place(location)
}

// word quotes s for a shell where that is needed.
func word(s string) string {
	plain := func(r rune) bool {
		return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("/._-:=@%+,", r)
	}
	if s != "" && !slices.ContainsFunc([]rune(s), func(r rune) bool { return !plain(r) }) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
