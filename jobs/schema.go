package jobs

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// rowPlan is a row type compiled: its schema, and how each column is filled. It never changes.
type rowPlan struct {
	schema  Schema
	columns []columnPlan
}

// columnPlan is one column, or one part of a nested column.
type columnPlan struct {
	field    Field
	path     string // for messages: "order.lines[].price"
	typ      reflect.Type
	offset   uintptr // in the struct or row around it
	add      addFunc // for a nullable column: of the value behind the pointer
	quick    quick   // how addRow fills the column without add
	size     uintptr // of the value in Go; for a list, of an element
	children []columnPlan
}

var timeType = reflect.TypeFor[time.Time]()

// newRowPlan compiles a row type. The error names the field that cannot be a column.
func newRowPlan(t reflect.Type) (*rowPlan, error) {
	c := rowCompiler{}
	var err error
	p := &rowPlan{}
	switch {
	case t.Kind() == reflect.Struct && t != timeType:
		p.columns, err = c.fields(t, "", 0)
	case t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Struct && t.Elem() != timeType:
		err = fmt.Errorf("rows are emitted by value: use %v", t.Elem())
	default:
		var col columnPlan
		col, err = c.column(t, "value", "value")
		p.columns = []columnPlan{col}
	}
	if err != nil {
		return nil, err
	}
	p.schema.Fields = fieldsOf(p.columns)
	return p, nil
}

func fieldsOf(columns []columnPlan) []Field {
	fields := make([]Field, len(columns))
	for i := range columns {
		fields[i] = columns[i].field
	}
	return fields
}

// rowCompiler remembers the types around the one it compiles, to find the ones that contain themselves.
type rowCompiler struct{ outer []reflect.Type }

// fields compiles the fields of a struct. As in encoding/json, fields that are not exported are left out and those of an
// embedded struct count as the outer one's.
func (c *rowCompiler) fields(t reflect.Type, path string, base uintptr) ([]columnPlan, error) {
	if slices.Contains(c.outer, t) {
		return nil, fmt.Errorf("column %s: type %v contains itself: a column's nesting is finite", path, t)
	}
	c.outer = append(c.outer, t)
	defer func() { c.outer = c.outer[:len(c.outer)-1] }()
	columns, err := c.listed(t, path, base)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, col := range columns {
		if seen[col.field.Name] {
			return nil, fmt.Errorf("column %s appears twice: rename one with a tag `column:\"...\"`", col.path)
		}
		seen[col.field.Name] = true
	}
	if len(columns) == 0 {
		return nil, fmt.Errorf("type %v has no exported field to make a column of", t)
	}
	return columns, nil
}

func (c *rowCompiler) listed(t reflect.Type, path string, base uintptr) ([]columnPlan, error) {
	var columns []columnPlan
	for f := range t.Fields() {
		name, tagged := f.Tag.Lookup("column")
		if name == "-" {
			continue
		}
		if f.Anonymous && !tagged && f.Type.Kind() == reflect.Struct && f.Type != timeType {
			inner, err := c.fields(f.Type, path, base+f.Offset)
			if err != nil {
				return nil, err
			}
			columns = append(columns, inner...)
			continue
		}
		if !f.IsExported() {
			if tagged {
				return nil, fmt.Errorf("field %s has a column tag but is not exported: export it", f.Name)
			}
			continue
		}
		if !tagged {
			name = snakeCase(f.Name)
		}
		if name == "" || !utf8.ValidString(name) {
			return nil, fmt.Errorf("field %s: %q is no column name", f.Name, name)
		}
		col, err := c.column(f.Type, name, strings.TrimPrefix(path+"."+name, "."))
		if err != nil {
			return nil, err
		}
		col.offset = base + f.Offset
		columns = append(columns, col)
	}
	return columns, nil
}

// column compiles a column of type t.
func (c *rowCompiler) column(t reflect.Type, name, path string) (columnPlan, error) {
	col := columnPlan{field: Field{Name: name}, path: path, typ: t, size: t.Size()}
	if t.Kind() == reflect.Pointer {
		elem, err := c.column(t.Elem(), name, path)
		if err == nil && elem.field.Nullable {
			err = fmt.Errorf("column %s: type %v: a pointer to a pointer has no meaning as a column", path, t)
		}
		elem.field.Nullable, elem.quick, elem.typ = true, quickNone, t
		return elem, err
	}
	if typ, add := scalarColumn(t.Kind()); add != nil {
		col.field.Type, col.add, col.quick = typ, add, quickOf(t.Kind())
		return col, nil
	}
	switch {
	case t == timeType:
		col.field.Type, col.add = TypeTimestamp, addTime
	case t.Kind() == reflect.Struct:
		inner, err := c.fields(t, path, 0)
		if err != nil {
			return col, err
		}
		col.field.Type, col.add, col.children, col.field.Fields = TypeStruct, addStruct, inner, fieldsOf(inner)
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		col.field.Type, col.add, col.quick = TypeBytes, addBytes, quickBytes
	case t.Kind() == reflect.Array && t.Elem().Kind() == reflect.Uint8:
		col.field.Type, col.add = TypeBytes, addByteArray
	case t.Kind() == reflect.Slice || t.Kind() == reflect.Array:
		return c.list(t, col)
	case t.Kind() == reflect.Map:
		return col, fmt.Errorf("column %s: type %v cannot be a column: a map has no order; use a slice of structs", path, t)
	default:
		return col, fmt.Errorf("column %s: type %v cannot be a column: columns are strings, bytes, numbers, bools, times, and structs, slices and pointers of these", path, t)
	}
	return col, nil
}

func (c *rowCompiler) list(t reflect.Type, col columnPlan) (columnPlan, error) {
	if slices.Contains(c.outer, t) {
		return col, fmt.Errorf("column %s: type %v contains itself: a column's nesting is finite", col.path, t)
	}
	c.outer = append(c.outer, t)
	defer func() { c.outer = c.outer[:len(c.outer)-1] }()
	elem, err := c.column(t.Elem(), "item", col.path+"[]")
	if err != nil {
		return col, err
	}
	col.field.Type, col.field.Fields, col.children = TypeList, []Field{elem.field}, []columnPlan{elem}
	col.size, col.add = t.Elem().Size(), addSlice
	if t.Kind() == reflect.Array {
		col.add = addArray(t.Len())
	}
	return col, nil
}

// snakeCase is a Go name as a column name: UserID becomes user_id, HTTPCode http_code.
func snakeCase(name string) string {
	runes := []rune(name)
	var b strings.Builder
	for i, r := range runes {
		if i > 0 && unicode.IsUpper(r) && runes[i-1] != '_' {
			next := i+1 < len(runes) && unicode.IsLower(runes[i+1])
			if !unicode.IsUpper(runes[i-1]) || next {
				b.WriteByte('_')
			}
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
