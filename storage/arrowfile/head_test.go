package arrowfile

import (
	"bytes"
	"fmt"
	"reflect"
	"testing"
)

// The head of a batch is its first rows, whatever their types and nulls, in memory of its own.
func TestHead(t *testing.T) {
	t.Parallel()
	s := everyType()
	for pattern, null := range nullPatterns {
		full := fill(s, 65, null, 1)
		want := rowsOf(s, full)
		for _, rows := range []int{0, 1, 8, 9, 64, 65, 100} {
			b := fill(s, 65, null, 1)
			head, size := s.Head(b, rows)
			for i := range b.Columns {
				spoil(&b.Columns[i])
			}
			n := min(rows, 65)
			if head.Rows != n || size <= 0 && n > 0 {
				t.Fatalf("%s: %d rows of %d, %d bytes", pattern, head.Rows, rows, size)
			}
			if got := rowsOf(s, head); fmt.Sprint(got) != fmt.Sprint(want[:n]) {
				t.Errorf("%s: the first %d rows are\n%v\nwant\n%v", pattern, rows, got, want[:n])
			}
			if n > 0 { // it can be written: its parts fit together
				if _, got := readRows(t, writeFile(t, s, Options{}, head), Options{}); !reflect.DeepEqual(got, want[:n]) {
					t.Errorf("%s: written and read, the first %d rows differ", pattern, rows)
				}
			}
		}
	}
}

// spoil overwrites a column's buffers.
func spoil(c *Column) {
	for _, b := range [][]byte{c.Valid, c.Data} {
		copy(b, bytes.Repeat([]byte{0xff}, len(b)))
	}
	clear(c.Offsets)
	for i := range c.Children {
		spoil(&c.Children[i])
	}
}
