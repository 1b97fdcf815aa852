package verify

import (
	"fmt"
	"maps"
	"slices"
	"strings"

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

// noteBelow remembers the columns of a part in a folder below, of which the manifest's schema says nothing: those of one
// folder must be alike.
func (c *checker) noteBelow(folder, name string, list []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.below[folder] == nil {
		c.below[folder] = map[string][]string{}
	}
	text := strings.Join(list, "\n") // the names are quoted
	c.below[folder][text] = append(c.below[folder][text], name)
}

// compareBelow names the parts whose columns are not those of the first part in their folder.
func (c *checker) compareBelow() {
	for _, folder := range slices.Sorted(maps.Keys(c.below)) {
		first, want := "", ""
		for text, names := range c.below[folder] {
			if least := slices.Min(names); first == "" || least < first {
				first, want = least, text
			}
		}
		for text, names := range c.below[folder] {
			if text == want {
				continue
			}
			diff := differ(strings.Split(want, "\n"), strings.Split(text, "\n"))
			for _, name := range names {
				c.report.Good--
				c.add(Schema, name, fmt.Sprintf("%s, as %s has it", diff, first))
			}
		}
	}
}
