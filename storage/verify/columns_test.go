package verify

import (
	"testing"

	"github.com/millrace/millrace/storage/arrowfile"
)

// Columns are compared by name, type, nullability and order, within structs and lists too; how the element of a list is
// called does not count.
func TestColumns(t *testing.T) {
	t.Parallel()
	list := func(element string, kind arrowfile.Type) arrowfile.Field {
		return arrowfile.Field{Name: "l", Type: arrowfile.TypeList, Fields: []arrowfile.Field{{Name: element, Type: kind}}}
	}
	n := arrowfile.Field{Name: "n", Type: arrowfile.TypeInt64}
	null := arrowfile.Field{Name: "n", Type: arrowfile.TypeInt64, Nullable: true}
	pair := func(fields ...arrowfile.Field) arrowfile.Field {
		return arrowfile.Field{Name: "s", Type: arrowfile.TypeStruct, Fields: fields}
	}
	fields := func(f ...arrowfile.Field) []arrowfile.Field { return f }
	for _, c := range []struct {
		want, got []arrowfile.Field
		text      string
	}{
		{fields(n), fields(n), ""},
		{fields(list("", "utf8")), fields(list("item", "utf8")), ""},
		{fields(list("", "utf8")), fields(list("element", "utf8")), ""},
		{fields(n), fields(null), `its column 1 is "n" int64, nullable: want "n" int64`},
		{fields(list("", "utf8")), fields(list("item", "binary")), `its column 2 is "l.item" binary: want "l.item" utf8`},
		{fields(pair(n)), fields(pair(null)), `its column 2 is "s.n" int64, nullable: want "s.n" int64`},
		{fields(n, pair(n)), fields(n), `it ends before column 2: want "s" struct`},
		{fields(n), fields(n, list("", "utf8")), `it has a column 2, "l" list: want none`},
	} {
		if got := differ(columns("", c.want), columns("", c.got)); got != c.text {
			t.Errorf("%v against %v: got %q, want %q", c.got, c.want, got, c.text)
		}
	}
}
