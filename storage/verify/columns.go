package verify

import (
	"fmt"
	"slices"

	"github.com/millrace/millrace/storage/arrowfile"
)

// columns lists columns as text, each with those inside of it behind it: "n" int64, "tags" list, "tags.item" utf8. The name of
// a list's element is no job's choice, so it is not compared.
func columns(within string, fields []arrowfile.Field) []string {
	var list []string
	for _, f := range fields {
		name := within + f.Name
		kind := string(f.Type)
		if f.Nullable {
			kind += ", nullable"
		}
		list = append(list, fmt.Sprintf("%q %s", name, kind))
		inner := slices.Clone(f.Fields)
		if f.Type == arrowfile.TypeList && len(inner) == 1 {
			inner[0].Name = "item"
		}
		list = append(list, columns(name+".", inner)...)
	}
	return list
}

// differ says in which column a list is another than the one wanted, "" for in none.
func differ(want, got []string) string {
	for i := range max(len(want), len(got)) {
		switch {
		case i >= len(got):
			return fmt.Sprintf("it ends before column %d: want %s", i+1, want[i])
		case i >= len(want):
			return fmt.Sprintf("it has a column %d, %s: want none", i+1, got[i])
		case want[i] != got[i]:
			return fmt.Sprintf("its column %d is %s: want %s", i+1, got[i], want[i])
		}
	}
	return ""
}
