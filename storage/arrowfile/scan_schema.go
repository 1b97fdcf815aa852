package arrowfile

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	flatbuffers "github.com/google/flatbuffers/go"
)

// What Arrow files of any writer may hold: the kinds of types in Schema.fbs beyond those that a Writer writes.
const (
	kindNull            = 1
	kindDecimal         = 7
	kindDate            = 8
	kindTime            = 9
	kindInterval        = 11
	kindUnion           = 14
	kindFixedSizeBinary = 15
	kindFixedSizeList   = 16
	kindMap             = 17
	kindDuration        = 18
	kindLargeBinary     = 19
	kindLargeUtf8       = 20
	kindLargeList       = 21
	kindRunEnd          = 22
	kindBinaryView      = 23
	kindUtf8View        = 24
	kindListView        = 25
	kindLargeListView   = 26
)

// unreadable names the kinds that columns of ours have no room for.
var unreadable = map[byte]string{
	kindInterval: "interval", kindUnion: "union", kindRunEnd: "run_end_encoded",
	kindListView: "list_view", kindLargeListView: "large_list_view",
}

const (
	schemaEndianness = 0

	dictionaryID      = 0
	dictionaryIndices = 1
)

// scanField is a column of an Arrow file, or a part of a nested one.
type scanField struct {
	field    Field // as it is read
	kind     byte
	bits     int  // of a number; of a decimal's or float's storage
	signed   bool // of an integer
	unit     int  // of times: 0 s, 1 ms, 2 us, 3 ns
	size     int  // of a fixed-size binary, bytes; of a fixed-size list, elements
	scale    int  // of a decimal
	children []scanField

	dictionary *scanField // what the values are, if the column is made of positions in a dictionary
	id         int64      // of the dictionary
	refused    string     // why the column cannot be read; "" if it can
}

// schemaReader reads the schema of any Arrow file.
type schemaReader struct{ left int } // fields that may still come

// readSchema reads the schema at t: a footer's or a message's. Like screen it follows no more than maxFields fields and
// maxDepth levels, whatever the bytes say.
func readSchema(t table) (fields []scanField, err error) {
	defer func() {
		if recover() != nil { // flatbuffers indexes out of range
			err = errors.New("its schema points outside of itself")
		}
	}()
	if t.GetInt16Slot(slot(schemaEndianness), 0) != 0 {
		return nil, errors.New("its numbers are big endian: write it on a little-endian machine, or convert it with pyarrow")
	}
	r := schemaReader{left: maxFields}
	return r.fields(t, schemaFields, "", 1)
}

func (r *schemaReader) fields(parent table, column int, path string, depth int) ([]scanField, error) {
	n, at := parent.vector(column, 4)
	if r.left -= n; r.left < 0 || n > 0 && depth > maxDepth+1 {
		return nil, fmt.Errorf("its schema has more than %d fields or nests more than %d levels deep", maxFields, maxDepth)
	}
	out := make([]scanField, n)
	for i := range out {
		t := table{flatbuffers.Table{Bytes: parent.Bytes, Pos: parent.Indirect(at + flatbuffers.UOffsetT(4*i))}}
		if err := r.field(&out[i], t, path, depth); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (r *schemaReader) field(f *scanField, t table, path string, depth int) error {
	length, at := t.vector(fieldName, 1)
	if length > maxName {
		return fmt.Errorf("a column has a name of %d bytes", length)
	}
	f.field.Name = strings.ToValidUTF8(string(t.Bytes[at:at+flatbuffers.UOffsetT(length)]), string(utf8.RuneError))
	// Writers are not careful with the flag, and readers ignore it: the bitmaps count.
	f.field.Nullable = true
	path = join(path, f.field.Name)
	f.kind = t.GetByteSlot(slot(fieldTypeKind), 0)
	about, ok := t.child(fieldType)
	if !ok {
		return fmt.Errorf("column %q has no type", path)
	}
	var err error
	if f.children, err = r.fields(t, fieldChildren, path, depth+1); err != nil {
		return err
	}
	if err := f.readType(about); err != nil {
		return fmt.Errorf("column %q: %w", path, err)
	}
	if encoding, ok := t.child(fieldDictionary); ok {
		return f.readDictionary(encoding, path)
	}
	return nil
}

// readDictionary makes f a column of positions, whose values are what f was.
func (f *scanField) readDictionary(encoding table, path string) error {
	values := *f
	*f = scanField{
		field: values.field, kind: kindInt, bits: 32, signed: true,
		dictionary: &values, id: encoding.GetInt64Slot(slot(dictionaryID), 0), refused: values.refused,
	}
	if index, ok := encoding.child(dictionaryIndices); ok {
		f.bits, f.signed = int(index.GetInt32Slot(slot(0), 0)), index.GetBoolSlot(slot(1), false)
	}
	if integer(f.bits, f.signed) == "" {
		return fmt.Errorf("column %q: positions of %d bits", path, f.bits)
	}
	if len(values.children) > 0 && f.refused == "" {
		f.refused = "dictionary of " + string(values.field.Type)
	}
	return nil
}

// integer is the type of an integer; "" if there is none.
func integer(bits int, signed bool) Type {
	types := map[int]Type{8: TypeUint8, 16: TypeUint16, 32: TypeUint32, 64: TypeUint64}
	if signed {
		types = map[int]Type{8: TypeInt8, 16: TypeInt16, 32: TypeInt32, 64: TypeInt64}
	}
	return types[bits]
}

// timestamps are the types of instants by unit.
var timestamps = [4]Type{TypeTimestampS, TypeTimestampMS, TypeTimestampUS, TypeTimestamp}

// readType fills what f is from its type's table. Children are known.
func (f *scanField) readType(t table) error {
	int32At := func(column int) int { return int(t.GetInt32Slot(slot(column), 0)) }
	unit := func(whenAbsent int16) int { return int(t.GetInt16Slot(slot(0), whenAbsent)) }
	switch f.kind {
	case kindNull:
		f.field.Type = TypeNull
	case kindInt:
		f.bits, f.signed = int32At(0), t.GetBoolSlot(slot(1), false)
		f.field.Type = integer(f.bits, f.signed)
	case kindFloat:
		f.bits = map[int]int{0: 16, 1: 32, 2: 64}[unit(0)]
		f.field.Type = map[int]Type{16: TypeFloat32, 32: TypeFloat32, 64: TypeFloat64}[f.bits]
	case kindBinary, kindLargeBinary, kindBinaryView:
		f.field.Type = TypeBytes
	case kindUtf8, kindLargeUtf8, kindUtf8View:
		f.field.Type = TypeString
	case kindBool:
		f.field.Type = TypeBool
	case kindDecimal:
		f.scale, f.bits = int32At(1), int(t.GetInt32Slot(slot(2), 128))
		if f.bits == 32 || f.bits == 64 || f.bits == 128 || f.bits == 256 {
			f.field.Type = TypeString
		}
	case kindDate:
		if f.unit = unit(1); f.unit == 0 {
			f.field.Type = TypeDate
		} else {
			f.field.Type = TypeTimestampMS
		}
	case kindTimestamp:
		if f.unit = unit(0); f.unit >= 0 && f.unit < len(timestamps) {
			f.field.Type = timestamps[f.unit]
		}
	case kindTime:
		f.unit, f.bits = unit(1), int(t.GetInt32Slot(slot(1), 32))
		if f.unit >= 0 && f.unit < 4 && (f.bits == 32 || f.bits == 64) {
			f.field.Type = TypeDuration
		}
	case kindDuration:
		if f.unit, f.bits = unit(1), 64; f.unit >= 0 && f.unit < 4 {
			f.field.Type = TypeDuration
		}
	case kindFixedSizeBinary:
		if f.size = int32At(0); f.size >= 0 {
			f.field.Type = TypeBytes
		}
	case kindFixedSizeList:
		return f.readNested(int32At(0))
	case kindUnion:
		f.unit = unit(0) // 1: dense
		return f.readNested(0)
	default:
		return f.readNested(0)
	}
	if f.field.Type == "" || len(f.children) > 0 {
		return fmt.Errorf("a type of kind %d that makes no sense", f.kind)
	}
	return nil
}

// readNested is readType for the types with children. size is what their table begins with.
func (f *scanField) readNested(size int) error {
	for i := range f.children {
		f.field.Fields = append(f.field.Fields, f.children[i].field)
		if f.refused == "" {
			f.refused = f.children[i].refused
		}
	}
	switch f.kind {
	case kindStruct:
		f.field.Type = TypeStruct
		return nil
	case kindList, kindLargeList, kindMap, kindFixedSizeList:
		f.field.Type = TypeList
		if len(f.children) != 1 || f.kind == kindMap && f.children[0].kind != kindStruct {
			return fmt.Errorf("a list with %d kinds of elements", len(f.children))
		}
		if f.kind == kindFixedSizeList {
			if f.size = size; size < 0 || size > math.MaxInt32/2 {
				return fmt.Errorf("a list of %d elements", size)
			}
		}
		return nil
	}
	if f.refused = unreadable[f.kind]; f.refused == "" {
		f.refused = fmt.Sprintf("of kind %d, which is not known to this version", f.kind)
	}
	return nil
}

// buffers is how many buffers a column has of its own, without those of its children and views.
func (f *scanField) buffers() (int, error) {
	switch f.kind {
	case kindNull, kindRunEnd:
		return 0, nil
	case kindStruct, kindFixedSizeList:
		return 1, nil
	case kindUtf8, kindBinary, kindLargeUtf8, kindLargeBinary, kindListView, kindLargeListView:
		return 3, nil
	case kindUnion: // a dense one has offsets too
		return 1 + min(1, max(0, f.unit)), nil
	case kindInterval, kindInt, kindFloat, kindBool, kindDecimal, kindDate, kindTime, kindTimestamp, kindDuration,
		kindFixedSizeBinary, kindList, kindLargeList, kindMap, kindBinaryView, kindUtf8View:
		return 2, nil
	}
	return 0, fmt.Errorf("column %q has a type of kind %d, which is not known to this version: leave it out of the file", f.field.Name, f.kind)
}
