package jobs

import (
	"fmt"
	"reflect"
	"slices"
)

// Batch is a record: some rows of an Arrow or Parquet file, column by column, for a function that computes on whole columns. How
// many rows come together is the file's and the engine's choice: what the function makes of a row must not depend on it. Nothing
// of it may be changed; all of it may be kept.
type Batch struct {
	URL    string // of the input object
	Row    int64  // the number of the first row in the object, from 0
	Schema Schema // of the columns: those that Table names, in that order, or all of the file
	Columns
}

// Column returns a column of the batch by its name.
func (b Batch) Column(name string) (Field, Column, bool) {
	for i, f := range b.Schema.Fields {
		if f.Name == name {
			return f, b.Columns.Columns[i], true
		}
	}
	return Field{}, Column{}, false
}

// Table makes the rows of Arrow and Parquet files the job's records. The record type is a struct: as with rows that a job emits,
// its exported fields name the columns (UserID: user_id, or as a tag `column:"name"` says), and only these are read.
//
//	type Trip struct {
//		PickupTime time.Time `column:"tpep_pickup_datetime"`
//		Distance   float64   `column:"trip_distance"`
//		Tip        *float64  `column:"tip_amount"` // nil where it is null
//	}
//
//	Go                       columns
//	bool                     bool
//	int8 ... int64, int      int8 ... int64, uint8 ... uint32, of no more bits and every value fits
//	uint8 ... uint64, uint   uint8 ... uint64, of no more bits
//	float32, float64         float32; float64 for both
//	string, []byte           utf8 (dictionaries of it as well), binary, decimals as text: "-12.30"
//	[N]byte                  binary of N bytes
//	time.Time                timestamps of any unit, dates; in UTC
//	time.Duration            durations; times of day, since midnight; int64 as nanoseconds
//	[]T, [N]T                list of T; a map is a list of structs of key and value
//	a struct                 struct; it may leave out fields of the file's
//	*T                       T that can be null
//
// Any other type is an error that names the column, the file and both types. So is a null in a field that is no pointer: it names
// the row. Strings and byte slices are views into the file's bytes, and must not be changed; all may be kept.
//
// With the record type Batch the function gets whole columns: those of the given names, or all. Records are then counted by rows.
func Table(columns ...string) Option {
	return Option{"Table", func(s *settings) {
		for i, name := range columns {
			if name == "" || slices.Contains(columns[:i], name) {
				s.fail(fmt.Errorf("option Table: the column %q is empty or named twice", name))
			}
		}
		s.table, s.columns = true, columns
	}}
}

// tableRecords is recordsOf for records that are rows.
func tableRecords[R, K, V any](m func(R, func(K, V)) error, columns []string) (Format, blockMapper[K, V], error) {
	if m, ok := any(m).(func(Batch, func(K, V)) error); ok {
		return Format{Kind: FormatColumns, Columns: columns}, eachBatch(m, columns), nil
	}
	t := reflect.TypeFor[R]()
	if t.Kind() != reflect.Struct || t == timeType {
		return Format{}, nil, fmt.Errorf("option Table: the record type is %s, but rows are a struct, whose fields are the columns, or a jobs.Batch", typeName[R]())
	}
	if len(columns) > 0 {
		return Format{}, nil, fmt.Errorf("option Table names columns, but the record type %s does already: leave them out", typeName[R]())
	}
	plan, err := newRowPlan(t)
	if err != nil {
		return Format{}, nil, fmt.Errorf("record type %s: %w", typeName[R](), err)
	}
	format := Format{Kind: FormatColumns}
	for _, c := range plan.columns {
		format.Columns = append(format.Columns, c.field.Name)
	}
	return format, eachRow(m, plan), nil
}

// eachBatch calls m once a block.
func eachBatch[K, V any](m func(Batch, func(K, V)) error, columns []string) blockMapper[K, V] {
	return func(b Block, at *int64, emit func(K, V)) (int64, error) {
		*at = b.Offset
		all := Batch{URL: b.URL, Row: b.Offset, Schema: b.Schema, Columns: b.Columns}
		if len(columns) == 0 {
			return int64(b.Columns.Rows), m(all, emit)
		}
		batch := Batch{URL: b.URL, Row: b.Offset, Columns: Columns{Rows: b.Columns.Rows}}
		for _, name := range columns {
			f, c, ok := all.Column(name)
			if !ok {
				return 0, missing(name, b.Schema.Fields)
			}
			batch.Schema.Fields = append(batch.Schema.Fields, f)
			batch.Columns.Columns = append(batch.Columns.Columns, c)
		}
		return int64(b.Columns.Rows), m(batch, emit)
	}
}

func missing(name string, fields []Field) error {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.Name
	}
	return fmt.Errorf("%w: there is no column %q: the columns are %.500q", ErrColumns, name, names)
}

// bindFields finds the columns of a block for those of a record and how they are filled.
func bindFields(plans []columnPlan, fields []Field, columns []Column, r *rowReader) ([]*cell, error) {
	cells := make([]*cell, len(plans))
	for i := range plans {
		plan := &plans[i]
		at := slices.IndexFunc(fields, func(f Field) bool { return f.Name == plan.field.Name })
		if at < 0 {
			return nil, missing(plan.path, fields)
		}
		var err error
		if cells[i], err = bindCell(plan, fields[at], columns[at], r); err != nil {
			return nil, err
		}
	}
	return cells, nil
}

func bindCell(plan *columnPlan, f Field, column Column, r *rowReader) (*cell, error) {
	c := &cell{
		plan: plan, reader: r, offset: plan.offset, size: plan.valueType().Size(),
		data: column.Data, offsets: column.Offsets, valid: column.Valid, nullable: plan.field.Nullable,
	}
	if f.Type == TypeNull && c.nullable {
		c.fill = fillNull
		return c, nil
	}
	c.value = valueOf(plan, f.Type)
	if c.value == nil {
		return nil, fmt.Errorf("%w: column %q is %s in the file, which a field of type %v cannot hold: %s",
			ErrColumns, plan.path, printField(f), plan.valueType(), advice(f.Type))
	}
	var err error
	switch plan.valueType().Kind() {
	case reflect.Struct:
		if plan.valueType() != timeType {
			c.children, err = bindFields(plan.children, f.Fields, column.Children, r)
		}
	case reflect.Slice, reflect.Array:
		if f.Type == TypeList {
			var child *cell
			child, err = bindCell(&plan.children[0], f.Fields[0], column.Children[0], r)
			c.children = []*cell{child}
		}
	}
	switch {
	case c.nullable:
		c.fill = fillPointer
	case c.valid != nil:
		c.fill = fillRequired
	default:
		c.fill, c.quick = c.value, quickValue(plan, f.Type)
	}
	return c, err
}

// printField is a column's type for a message.
func printField(f Field) string {
	if f.Type == TypeList && len(f.Fields) == 1 {
		return "list of " + printField(f.Fields[0])
	}
	return string(f.Type)
}

// advice says which fields can hold a column.
func advice(t Type) string {
	switch t {
	case TypeNull:
		return "all its rows are null: declare a pointer, or leave it out"
	case TypeString, TypeBytes:
		return "declare it as string or []byte (decimals are text: jobs.ParseFixed reads them)"
	case TypeTimestamp, TypeTimestampS, TypeTimestampMS, TypeTimestampUS, TypeDate:
		return "declare it as time.Time"
	case TypeDuration:
		return "declare it as time.Duration"
	case TypeList:
		return "declare a slice of what its elements are"
	case TypeStruct:
		return "declare a struct with the fields that you need"
	}
	return fmt.Sprintf("declare it as %s, or as a wider type", t)
}

// valueType is the type of a column's values in Go: what a nullable one's pointer points to.
func (p *columnPlan) valueType() reflect.Type {
	if p.field.Nullable {
		return p.typ.Elem()
	}
	return p.typ
}
