package records

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
)

// Unmarshal reads a document in JSON. It fails with ErrNewer when the document says something for which into has no field: a version
// that went on without it would do something else than was asked for. A field without a value asks for nothing. What is known has been
// read then all the same. Anything else that is wrong is ErrDamaged.
func Unmarshal(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err == nil { // as almost always
		if _, err := d.Token(); err == io.EOF {
			return nil
		}
	}
	if err := json.Unmarshal(text, into); err != nil {
		return damaged("%v", err)
	}
	known, err := json.Marshal(into)
	if err != nil {
		return damaged("%v", err)
	}
	var all, kept any
	if err := json.Unmarshal(text, &all); err != nil {
		return damaged("%v", err)
	}
	if err := json.Unmarshal(known, &kept); err != nil {
		return damaged("%v", err)
	}
	if name := missing(all, kept); name != "" {
		return fmt.Errorf("the field %q: %w", name, ErrNewer)
	}
	return nil
}

// missing names a field of a value that has a value and that another one lacks; "" if there is none.
func missing(all, kept any) string {
	switch all := all.(type) {
	case map[string]any:
		kept, _ := kept.(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(all)) {
			k, ok := kept[name]
			switch below := missing(all[name], k); {
			case !ok && !empty(all[name]):
				return name
			case ok && below != "":
				return name + "." + below
			}
		}
	case []any:
		kept, _ := kept.([]any)
		for i := range all[:min(len(all), len(kept))] {
			if below := missing(all[i], kept[i]); below != "" {
				return below
			}
		}
	}
	return ""
}

// empty says whether a value is what a field has that nobody has set.
func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case bool:
		return !v
	case float64:
		return v == 0
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	case map[string]any:
		for _, of := range v { // the order does not show
			if !empty(of) {
				return false
			}
		}
		return true
	}
	return false
}
