package jobs

import (
	"fmt"
	"strings"
)

// CutField returns a field of a line: the nth, counted from 1, of what stands between separators; the whole line for 0. It is a
// view into the line. That the line has fewer fields is an error, which shows the line's beginning.
func CutField(line, separator string, n int) (string, error) {
	value, rest, found := line, line, true
	for range n {
		if !found {
			return "", fmt.Errorf("the line %.100q has no field %d", line, n)
		}
		value, rest, found = strings.Cut(rest, separator)
	}
	return value, nil
}
