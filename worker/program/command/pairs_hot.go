package command

import (
	"bytes"

	"github.com/millrace/millrace/jobs"
)

// Lines become pairs, and pairs lines, in one pass over each and without an allocation a line. The plain versions, which split and
// join with package bytes, are in the tests; they took half as long again (BenchmarkPairs).

// appendPairs appends the pairs of whole lines to batch until that has limit bytes. It returns the lines that are left, and how many
// pairs it has appended. The last line may lack its end.
func appendPairs(batch, lines []byte, limit int) (_, rest []byte, pairs int) {
	for len(lines) > 0 && len(batch) < limit {
		line := lines
		if end := bytes.IndexByte(lines, '\n'); end >= 0 {
			line, lines = lines[:end], lines[end+1:]
		} else {
			lines = nil
		}
		key, value := cutLine(line)
		batch = jobs.AppendPair(batch, key, value)
		pairs++
	}
	return batch, lines, pairs
}

// cutLine splits a line at its first tab.
func cutLine(line []byte) (key, value []byte) {
	if tab := bytes.IndexByte(line, '\t'); tab >= 0 {
		return line[:tab], line[tab+1:]
	}
	return line, nil
}

// appendLines appends a pair as lines: one, or of a combined pair any number (see combined).
func appendLines(to, key, value []byte) []byte {
	if len(value) == 0 || value[0] != severalValues {
		to = append(append(to, key...), '\t')
		return append(append(to, value...), '\n')
	}
	for values := value[1:]; len(values) > 0; {
		end := bytes.IndexByte(values, '\n') + 1
		if end == 0 { // never: each value has its end
			end = len(values)
		}
		to = append(append(to, key...), '\t')
		to = append(to, values[:end]...)
		values = values[end:]
	}
	return to
}

// The value of a pair is the bytes that the mapper wrote, which have no line end in them. A combiner may write any number of lines of
// a key, but the engine takes one pair of each. So a pair whose value begins with a line end stands for several lines, or none: the
// values follow, each with a line end.
const severalValues = '\n'

// combined begins such a value.
func combined(to []byte) []byte { return append(to, severalValues) }
