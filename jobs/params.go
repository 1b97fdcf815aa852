package jobs

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Param describes one parameter of a job.
type Param struct {
	Name     string
	Type     string // bool, int, float, string, list, duration, size or file
	Default  string // as it would be written; meaningless when Required
	Help     string
	Required bool     // it has no default
	Allowed  []string // the values that it may take; nil: any of its type
	Max      int64    // of a file: the most bytes that it may have
}

// fileParam is the type of a parameter that is a SideInput.
const fileParam = "file"

// paramSet is the parameters of a job, read off its struct.
type paramSet struct {
	list   []Param
	fields []int // of list: the index of the struct's field
	typ    reflect.Type
}

// paramValues is parameters that passed every check, as text; fill makes a fresh struct of them for each attempt, so that
// no two attempts share a slice.
type paramValues struct {
	set  *paramSet
	text []string // of set.list
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	sizeType     = reflect.TypeFor[Size]()
)

// newParamSet reads the parameters off a struct type. The set is never nil.
func newParamSet(t reflect.Type) (*paramSet, error) {
	set := &paramSet{typ: t}
	if t.Kind() != reflect.Struct {
		return set, fmt.Errorf("parameter type %v: it must be a struct whose exported fields are the parameters", t)
	}
	for f := range t.Fields() {
		if !f.IsExported() {
			continue
		}
		p, err := newParam(f)
		if err != nil {
			return set, fmt.Errorf("parameter type %v: field %s: %w", t, f.Name, err)
		}
		if set.index(p.Name) >= 0 {
			return set, fmt.Errorf("parameter type %v: field %s: there is a parameter %s already", t, f.Name, p.Name)
		}
		set.list = append(set.list, p)
		set.fields = append(set.fields, f.Index[0])
	}
	return set, nil
}

func newParam(f reflect.StructField) (Param, error) {
	p := Param{Name: f.Tag.Get("param"), Help: f.Tag.Get("help")}
	if p.Name == "" {
		p.Name = strings.ReplaceAll(snakeCase(f.Name), "_", "-")
	}
	if strings.ContainsAny(p.Name, "= \t\n") {
		return p, fmt.Errorf("parameter name %q: leave out spaces and '='", p.Name)
	}
	p.Type = paramType(f.Type)
	if p.Type == "" {
		return p, fmt.Errorf("type %v cannot be a parameter: use bool, an integer, a float, string, []string, time.Duration, jobs.Size or jobs.SideInput", f.Type)
	}
	if err := p.setMax(f.Tag.Lookup("max")); err != nil {
		return p, err
	}
	if oneof, ok := f.Tag.Lookup("oneof"); ok {
		p.Allowed = strings.Split(oneof, "|")
	}
	text, ok := f.Tag.Lookup("default")
	p.Default, p.Required = text, !ok
	if ok {
		if err := p.set(reflect.New(f.Type).Elem(), text); err != nil {
			return p, fmt.Errorf("the default %w", err)
		}
	}
	return p, nil
}

// setMax reads a side input's bound off the tag max.
func (p *Param) setMax(text string, given bool) error {
	if p.Type != fileParam {
		if given {
			return fmt.Errorf("the tag max is for a jobs.SideInput alone: check the parameter in a Validate method")
		}
		return nil
	}
	p.Max = DefaultSideInput
	if !given {
		return nil
	}
	n, err := ParseSize(text)
	if err == nil && n < 1 {
		err = fmt.Errorf("%q is not a size of 1 byte or more", text)
	}
	if err != nil {
		return fmt.Errorf("the tag max: %w", err)
	}
	p.Max = int64(n)
	return nil
}

// paramType is the word for a field's type, "" if it cannot be a parameter.
func paramType(t reflect.Type) string {
	switch t {
	case durationType:
		return "duration"
	case sizeType:
		return "size"
	case sideInputType:
		return fileParam
	}
	switch k := t.Kind(); {
	case k == reflect.Bool:
		return "bool"
	case k >= reflect.Int && k <= reflect.Uint64:
		return "int"
	case k == reflect.Float32 || k == reflect.Float64:
		return "float"
	case k == reflect.String:
		return "string"
	case k == reflect.Slice && t.Elem().Kind() == reflect.String:
		return "list"
	}
	return ""
}

func (s *paramSet) index(name string) int {
	return slices.IndexFunc(s.list, func(p Param) bool { return p.Name == name })
}

func (s *paramSet) names() []string {
	out := make([]string, len(s.list))
	for i, p := range s.list {
		out[i] = p.Name
	}
	return out
}

// parse checks what a submitter states and fills in the defaults.
func (s *paramSet) parse(given map[string]string) (paramValues, error) {
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if s.index(name) < 0 {
			return paramValues{}, s.unknown(name)
		}
	}
	values := paramValues{set: s, text: make([]string, len(s.list))}
	for i, p := range s.list {
		text, ok := given[p.Name]
		switch {
		case ok:
			values.text[i] = text
		case p.Required:
			return paramValues{}, fmt.Errorf("parameter %s is missing: give %s=%s%s", p.Name, p.Name, strings.ToUpper(p.Type), because(p.Help))
		default:
			values.text[i] = p.Default
		}
	}
	if s.typ == nil {
		return values, nil
	}
	v := reflect.New(s.typ)
	if err := values.fill(v.Elem()); err != nil {
		return paramValues{}, err
	}
	return values, validate(v.Interface())
}

func because(help string) string {
	if help == "" {
		return ""
	}
	return ", " + oneLine(help)
}

func (s *paramSet) unknown(name string) error {
	if len(s.list) == 0 {
		return fmt.Errorf("unknown parameter %q: it takes no parameters", name)
	}
	names := s.names()
	if near := nearest(name, names); near != "" {
		return fmt.Errorf("unknown parameter %q: did you mean %s? It takes: %s", name, near, strings.Join(names, ", "))
	}
	return fmt.Errorf("unknown parameter %q: it takes: %s", name, strings.Join(names, ", "))
}

// validate calls the Validate method of p, a pointer to the parameters, if there is one.
func validate(p any) (err error) {
	v, ok := p.(interface{ Validate() error })
	if !ok {
		return nil
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("parameters: Validate panicked: %v", r)
		}
	}()
	if err := v.Validate(); err != nil {
		return fmt.Errorf("parameters: %w", err)
	}
	return nil
}

// fill sets the fields of v, a struct of the set's type.
func (values paramValues) fill(v reflect.Value) error {
	for i, p := range values.set.list {
		if err := p.set(v.Field(values.set.fields[i]), values.text[i]); err != nil {
			return fmt.Errorf("parameter %s: %w", p.Name, err)
		}
	}
	return nil
}

// set parses text into v. The error begins with the quoted text.
func (p Param) set(v reflect.Value, text string) error {
	if p.Allowed != nil && p.Type != "list" && !slices.Contains(p.Allowed, text) {
		if near := nearest(text, p.Allowed); near != "" {
			return fmt.Errorf("%q is not allowed: did you mean %s? Use one of %s", text, near, strings.Join(p.Allowed, ", "))
		}
		return fmt.Errorf("%q is not allowed: use one of %s", text, strings.Join(p.Allowed, ", "))
	}
	switch p.Type {
	case "bool":
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		v.SetBool(b)
	case "duration":
		d, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("%q is not a duration: write it like 90s, 15m or 24h", text)
		}
		v.SetInt(int64(d))
	case "size":
		n, err := ParseSize(text)
		if err != nil {
			return err
		}
		v.SetInt(int64(n))
	case "int":
		return setInt(v, text)
	case "float":
		f, err := strconv.ParseFloat(text, v.Type().Bits())
		if err != nil {
			return fmt.Errorf("%q is not a number of type %v", text, v.Type())
		}
		v.SetFloat(f)
	case "string":
		v.SetString(text)
	case fileParam:
		v.Set(reflect.ValueOf(SideInput{name: p.Name, url: text}))
	case "list":
		return p.setList(v, text)
	}
	return nil
}

func setInt(v reflect.Value, text string) error {
	bits := v.Type().Bits()
	if v.CanInt() {
		n, err := strconv.ParseInt(text, 10, bits)
		if err != nil {
			lo := int64(-1) << (bits - 1)
			return fmt.Errorf("%q is not %s: allowed are whole numbers from %d to %d", text, notInt(err), lo, -(lo + 1))
		}
		v.SetInt(n)
		return nil
	}
	n, err := strconv.ParseUint(text, 10, bits)
	if err != nil {
		return fmt.Errorf("%q is not %s: allowed are whole numbers from 0 to %d", text, notInt(err), ^uint64(0)>>(64-bits))
	}
	v.SetUint(n)
	return nil
}

func notInt(err error) string {
	if errors.Is(err, strconv.ErrRange) {
		return "in range"
	}
	return "a whole number in range"
}

// setList splits text at commas; the empty text is the empty list.
func (p Param) setList(v reflect.Value, text string) error {
	v.SetZero()
	if text == "" {
		return nil
	}
	for item := range strings.SplitSeq(text, ",") {
		item = strings.TrimSpace(item)
		if p.Allowed != nil && !slices.Contains(p.Allowed, item) {
			return fmt.Errorf("%q is not allowed: use some of %s", item, strings.Join(p.Allowed, ", "))
		}
		v.Set(reflect.Append(v, reflect.ValueOf(item).Convert(v.Type().Elem())))
	}
	return nil
}

// oneLine is text without line breaks.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// nearest returns the word that name is most likely a mistyping of, or "".
func nearest(name string, words []string) string {
	best, limit := "", max(1, len(name)/3)+1
	for _, w := range words {
		if d := editDistance(strings.ToLower(name), strings.ToLower(w)); d < limit {
			best, limit = w, d
		}
	}
	return best
}

// editDistance counts the insertions, deletions, replacements and swaps of neighbours that turn a into b.
func editDistance(a, b string) int {
	rows := [3][]int{make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)}
	for j := range rows[1] {
		rows[1][j] = j
	}
	for i := 1; i <= len(a); i++ {
		prev2, prev, cur := rows[0], rows[1], rows[2]
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
		rows = [3][]int{prev, cur, prev2}
	}
	return rows[1][len(b)]
}
