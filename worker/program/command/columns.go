package command

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/millrace/millrace/jobs"
)

// column is one field of a row.
type column struct {
	name string
	kind string // a word of kinds
}

// kinds are the types that a column may have.
var kinds = map[string]jobs.Type{
	"string": jobs.TypeString, "bytes": jobs.TypeBytes, "int64": jobs.TypeInt64, "float64": jobs.TypeFloat64, "bool": jobs.TypeBool,
}

const kindNames = "string, bytes, int64, float64, bool"

// columns say how a line becomes a row.
type columns struct {
	list []column
	pair bool // they are key and value of any line: the value is all behind the first tab, and may be missing
}

// parseColumns reads NAME:TYPE,...
func parseColumns(text string) (columns, error) {
	if text == "" {
		return columns{list: []column{{"key", "string"}, {"value", "string"}}, pair: true}, nil
	}
	var c columns
	for field := range strings.SplitSeq(text, ",") {
		name, kind, ok := strings.Cut(strings.TrimSpace(field), ":")
		_, known := kinds[kind]
		switch {
		case !ok || name == "":
			return c, fmt.Errorf("columns: %q: write NAME:TYPE, as in word:string,n:int64", field)
		case !known:
			return c, fmt.Errorf("columns: %s: there is no type %q: choose one of %s", name, kind, kindNames)
		case !utf8.ValidString(name):
			return c, fmt.Errorf("columns: the name %q is not UTF-8", name)
		}
		for _, other := range c.list {
			if other.name == name {
				return c, fmt.Errorf("columns: two columns are named %s: give one another name", name)
			}
		}
		c.list = append(c.list, column{name, kind})
	}
	return c, nil
}

func (c columns) schema() (s jobs.Schema) {
	for _, col := range c.list {
		s.Fields = append(s.Fields, jobs.Field{Name: col.name, Type: kinds[col.kind]})
	}
	return s
}

// String is what --columns would say.
func (c columns) String() string {
	var fields []string
	for _, col := range c.list {
		fields = append(fields, col.name+":"+col.kind)
	}
	return strings.Join(fields, ",")
}

// as is the columns with another type for one of them.
func (c columns) as(i int, kind string) string {
	other := columns{list: append([]column(nil), c.list...)}
	other.list[i].kind = kind
	return other.String()
}

// clipped is the beginning of a line or field for a message.
func clipped(text []byte) string {
	const most = 100
	if len(text) > most {
		return strconv.Quote(string(text[:most])) + "..."
	}
	return strconv.Quote(string(text))
}
