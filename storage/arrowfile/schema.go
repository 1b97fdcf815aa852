// Package arrowfile writes batches of columns as Apache Arrow IPC files and reads them back. It is the only package that
// knows Arrow: those around it see a Schema and Batches of plain slices, which have Arrow's memory layout so that nothing
// is copied. It knows no jobs, URLs or clocks: the same batches give the same bytes.
//
// A file is what the specification calls the "IPC file format" (also known as Feather V2): a magic number, the schema, one
// message per batch, and a footer that lists where the batches lie. DuckDB, Polars, pandas and Spark open it as it is.
//
//	offset     bytes
//	0          "ARROW1\0\0"
//	8          the schema message
//	           one message per batch: metadata, then the buffers of its columns, each padded to 8 bytes
//	           the footer: a flatbuffer with the schema again and a block of 24 bytes per batch
//	size-10    length of the footer, uint32
//	size-6     "ARROW1"
//
// The worker writes parts with a Writer; the CLI reads them with a Reader and turns them into text with AppendText and
// AppendJSON. A Writer refuses batches whose buffers do not fit together; a Reader trusts nothing in a file.
//
// Source: https://arrow.apache.org/docs/format/Columnar.html
package arrowfile

import (
	"fmt"
	"unicode/utf8"

	"github.com/apache/arrow/go/v15/arrow"
)

// maxDepth is how deep lists and structs may nest: half of what Arrow's own reader allows.
const maxDepth = 32

// maxFields bounds the columns of a schema, nested ones included, and thereby the work that a hostile footer can ask for.
const maxFields = 10_000

// Schema is the columns of a file.
type Schema struct {
	Fields []Field `json:"fields"`
}

// Field is one column.
type Field struct {
	Name     string  `json:"name"`
	Type     Type    `json:"type"`
	Nullable bool    `json:"nullable,omitempty"`
	Fields   []Field `json:"fields,omitempty"` // of a struct; of a list, its one element
}

// Type names a column's type by its name in Apache Arrow.
type Type string

// The types that a file may have.
const (
	TypeBool      Type = "bool"
	TypeInt8      Type = "int8"
	TypeInt16     Type = "int16"
	TypeInt32     Type = "int32"
	TypeInt64     Type = "int64"
	TypeUint8     Type = "uint8"
	TypeUint16    Type = "uint16"
	TypeUint32    Type = "uint32"
	TypeUint64    Type = "uint64"
	TypeFloat32   Type = "float32"
	TypeFloat64   Type = "float64"
	TypeString    Type = "utf8"          // valid UTF-8
	TypeBytes     Type = "binary"        // any bytes
	TypeTimestamp Type = "timestamp[ns]" // int64 nanoseconds since the Unix epoch, UTC
	TypeList      Type = "list"
	TypeStruct    Type = "struct"
)

// The types that a Scanner, and package parquetfile, read besides: a Writer writes none of them.
const (
	TypeNull        Type = "null"          // every row is null; there is no data
	TypeDate        Type = "date32"        // int32 days since the Unix epoch
	TypeTimestampS  Type = "timestamp[s]"  // int64 seconds since the Unix epoch, UTC
	TypeTimestampMS Type = "timestamp[ms]" // int64 milliseconds
	TypeTimestampUS Type = "timestamp[us]" // int64 microseconds
	TypeDuration    Type = "duration[ns]"  // int64 nanoseconds; of a time of day, since midnight
)

// Batch is some rows, column by column, in the memory layout of Apache Arrow (little endian).
type Batch struct {
	Rows    int
	Columns []Column // one per field of the schema
}

// Column is one column of a batch.
//
//	type               Data                         Offsets
//	bool               bitmap, least bit first      nil
//	intN, floatN, ...  Rows × N/8 bytes             nil
//	utf8, binary       the values, end to end       Rows+1 positions in Data
//	list               nil                          Rows+1 positions in Children[0]
//	struct             nil                          nil
type Column struct {
	Nulls    int    // rows that are null
	Valid    []byte // bitmap, a bit set per row that is not null; nil when none is
	Offsets  []int32
	Data     []byte
	Children []Column
}

// Width is the bytes that a value takes in Data; 0 for bools and the types of any length.
func (t Type) Width() int { return t.width() }

// width is the bytes a value takes in Data; 0 for the types without a fixed number of whole bytes.
func (t Type) width() int {
	switch t {
	case TypeInt8, TypeUint8:
		return 1
	case TypeInt16, TypeUint16:
		return 2
	case TypeInt32, TypeUint32, TypeFloat32, TypeDate:
		return 4
	case TypeInt64, TypeUint64, TypeFloat64, TypeTimestamp, TypeTimestampS, TypeTimestampMS, TypeTimestampUS, TypeDuration:
		return 8
	}
	return 0
}

// primitives are the types without children, as Arrow has them.
func primitives() map[Type]arrow.DataType {
	return map[Type]arrow.DataType{
		TypeBool:      arrow.FixedWidthTypes.Boolean,
		TypeInt8:      arrow.PrimitiveTypes.Int8,
		TypeInt16:     arrow.PrimitiveTypes.Int16,
		TypeInt32:     arrow.PrimitiveTypes.Int32,
		TypeInt64:     arrow.PrimitiveTypes.Int64,
		TypeUint8:     arrow.PrimitiveTypes.Uint8,
		TypeUint16:    arrow.PrimitiveTypes.Uint16,
		TypeUint32:    arrow.PrimitiveTypes.Uint32,
		TypeUint64:    arrow.PrimitiveTypes.Uint64,
		TypeFloat32:   arrow.PrimitiveTypes.Float32,
		TypeFloat64:   arrow.PrimitiveTypes.Float64,
		TypeString:    arrow.BinaryTypes.String,
		TypeBytes:     arrow.BinaryTypes.Binary,
		TypeTimestamp: &arrow.TimestampType{Unit: arrow.Nanosecond, TimeZone: "UTC"},
	}
}

// toArrow checks s and returns it as Arrow has it.
func (s Schema) toArrow() (*arrow.Schema, error) {
	fields, err := fieldsToArrow("", s.Fields, 1)
	if err != nil {
		return nil, err
	}
	return arrow.NewSchema(fields, nil), nil
}

func fieldsToArrow(path string, fields []Field, depth int) ([]arrow.Field, error) {
	if len(fields) == 0 {
		return nil, fmt.Errorf("%s has no columns", orSchema(path))
	}
	if depth > maxDepth {
		return nil, fmt.Errorf("%s nests more than %d levels deep", orSchema(path), maxDepth)
	}
	seen := make(map[string]bool, len(fields))
	out := make([]arrow.Field, len(fields))
	for i, f := range fields {
		switch {
		case f.Name == "" || !utf8.ValidString(f.Name):
			return nil, fmt.Errorf("%s: column %d has the name %q: want valid UTF-8, not empty", orSchema(path), i, f.Name)
		case seen[f.Name]:
			return nil, fmt.Errorf("%s: two columns have the name %q", orSchema(path), f.Name)
		}
		seen[f.Name] = true
		t, err := f.toArrow(join(path, f.Name), depth)
		if err != nil {
			return nil, err
		}
		out[i] = arrow.Field{Name: f.Name, Type: t, Nullable: f.Nullable}
	}
	return out, nil
}

// toArrow returns the type of a field that path leads to.
func (f Field) toArrow(path string, depth int) (arrow.DataType, error) {
	switch f.Type {
	case TypeStruct:
		fields, err := fieldsToArrow(path, f.Fields, depth+1)
		if err != nil {
			return nil, err
		}
		return arrow.StructOf(fields...), nil
	case TypeList:
		if len(f.Fields) != 1 {
			return nil, fmt.Errorf("list column %q has %d element types: want 1", path, len(f.Fields))
		}
		fields, err := fieldsToArrow(path, []Field{elementOf(f)}, depth+1)
		if err != nil {
			return nil, err
		}
		return arrow.ListOfField(fields[0]), nil
	}
	t, ok := primitives()[f.Type]
	if !ok {
		return nil, fmt.Errorf("column %q has the unknown type %q", path, f.Type)
	}
	if len(f.Fields) > 0 {
		return nil, fmt.Errorf("column %q of type %s cannot have columns of its own", path, f.Type)
	}
	return t, nil
}

// elementOf returns a list's element, under the name that Arrow's own libraries give it unless it has another one.
func elementOf(list Field) Field {
	e := list.Fields[0]
	if e.Name == "" {
		e.Name = "item"
	}
	return e
}

// fromArrow returns the schema of a file. Types that a Writer never writes are an error.
func fromArrow(s *arrow.Schema) (Schema, error) {
	fields, err := fieldsFromArrow("", s.Fields())
	return Schema{Fields: fields}, err
}

func fieldsFromArrow(path string, fields []arrow.Field) ([]Field, error) {
	out := make([]Field, len(fields))
	for i, f := range fields {
		out[i] = Field{Name: f.Name, Nullable: f.Nullable}
		var err error
		switch t := f.Type.(type) {
		case *arrow.StructType:
			out[i].Type = TypeStruct
			out[i].Fields, err = fieldsFromArrow(join(path, f.Name), t.Fields())
		case *arrow.ListType:
			out[i].Type = TypeList
			out[i].Fields, err = fieldsFromArrow(join(path, f.Name), []arrow.Field{t.ElemField()})
		default:
			out[i].Type, err = primitiveFromArrow(join(path, f.Name), t)
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

func primitiveFromArrow(path string, t arrow.DataType) (Type, error) {
	for name, p := range primitives() {
		if arrow.TypeEqual(p, t) {
			return name, nil
		}
	}
	return "", fmt.Errorf("column %q has the type %s, which millrace does not write", path, t)
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func orSchema(path string) string {
	if path == "" {
		return "the schema"
	}
	return fmt.Sprintf("column %q", path)
}
