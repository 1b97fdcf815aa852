package parquetfile

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/schema"

	"github.com/millrace/millrace/storage/arrowfile"
)

// maxDepth is how deep columns may nest, as in package arrowfile.
const maxDepth = 32

// node is a column, or a part of a nested one.
//
// A column's nulls and lists are in the levels that stand beside its values: the definition level says how much of what is
// optional on the way to a value is there, the repetition level which list goes on. See "Dremel: Interactive Analysis of
// Web-Scale Datasets" (2010).
type node struct {
	field    arrowfile.Field
	def      int // the definition level from which on it is not null
	children []*node
	// Of a list: the levels of its elements.
	elementDef, elementRep int

	leaf    *leaf
	refused string // why the column cannot be read; "" if it can
}

// leaf is a node with values of its own: a column of the file.
type leaf struct {
	index    int // among the columns of the file
	column   *schema.Column
	physical parquet.Type
	length   int // of values of fixed length, bytes
	def, rep int // the highest levels
	convert  convert
	scale    int // of a decimal
	unit     int // of times: 0 s, 1 ms, 2 us, 3 ns
}

// convert is what becomes of a physical value.
type convert uint8

const (
	asIs convert = iota
	asNarrow
	asDecimal
	asDuration
	asFloat16
	asInt96
)

// tree makes nodes of the file's schema.
type tree struct{ leaves int }

// columns returns the columns of a file.
func (t *tree) columns(root *schema.GroupNode) ([]*node, error) {
	out := make([]*node, root.NumFields())
	for i := range out {
		var err error
		if out[i], err = t.node(root.Field(i), at{}, 1); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// at is where a node stands: the levels of what is around it, and which definition level an element of the innermost list has
// that it is in. Below that level there is no row at all; between the two it is null.
type at struct{ def, rep, element int }

// inside is where the elements stand of a list that is here.
func (a at) inside() at { return at{a.def + 1, a.rep + 1, a.def + 1} }

// node makes a node of a field.
func (t *tree) node(n schema.Node, a at, depth int) (*node, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("its columns nest more than %d levels deep", maxDepth)
	}
	if n.RepetitionType() == parquet.Repetitions.Optional {
		a.def++
	}
	var out *node
	var err error
	if n.RepetitionType() == parquet.Repetitions.Repeated { // a list that no annotation says to be one
		element, err := t.value(n, a.inside(), depth+1)
		if err != nil {
			return nil, err
		}
		out = listOf(nameOf(n), element, a)
	} else if out, err = t.value(n, a, depth); err != nil {
		return nil, err
	}
	// What is required in a struct that is null shows as null.
	out.field.Nullable = a.def > a.element
	return out, nil
}

func nameOf(n schema.Node) string { return strings.ToValidUTF8(n.Name(), string(utf8.RuneError)) }

// listOf makes a list of elements.
func listOf(name string, element *node, a at) *node {
	return &node{
		field: arrowfile.Field{Name: name, Type: arrowfile.TypeList, Fields: []arrowfile.Field{element.field}},
		def:   a.def, elementDef: a.inside().def, elementRep: a.inside().rep, children: []*node{element}, refused: element.refused,
	}
}

// value makes a node of a field, whose levels are known.
func (t *tree) value(n schema.Node, a at, depth int) (*node, error) {
	group, ok := n.(*schema.GroupNode)
	if !ok {
		return t.primitive(n.(*schema.PrimitiveNode), a), nil
	}
	switch group.LogicalType().(type) {
	case schema.ListLogicalType, schema.MapLogicalType:
		if group.NumFields() == 1 && group.Field(0).RepetitionType() == parquet.Repetitions.Repeated {
			return t.list(group, group.Field(0), a, depth)
		}
	}
	out := &node{field: arrowfile.Field{Name: nameOf(n), Type: arrowfile.TypeStruct}, def: a.def}
	if group.NumFields() == 0 {
		out.refused = "struct without fields"
	}
	for i := range group.NumFields() {
		child, err := t.node(group.Field(i), a, depth+1)
		if err != nil {
			return nil, err
		}
		out.children = append(out.children, child)
		out.field.Fields = append(out.field.Fields, child.field)
		if out.refused == "" {
			out.refused = child.refused
		}
	}
	return out, nil
}

// list makes a list or map of a group around a repeated field. Writers do not agree on whether that field is the element or holds
// it: the rules are those of the format.
//
// Source: https://github.com/apache/parquet-format/blob/master/LogicalTypes.md#backward-compatibility-rules
func (t *tree) list(group *schema.GroupNode, repeated schema.Node, a at, depth int) (*node, error) {
	var element *node
	var err error
	inner, isGroup := repeated.(*schema.GroupNode)
	_, isMap := group.LogicalType().(schema.MapLogicalType)
	if isGroup && !isMap && inner.NumFields() == 1 && inner.Name() != "array" && inner.Name() != group.Name()+"_tuple" &&
		inner.Field(0).RepetitionType() != parquet.Repetitions.Repeated {
		element, err = t.node(inner.Field(0), a.inside(), depth+1)
	} else {
		element, err = t.value(repeated, a.inside(), depth+1)
	}
	if err != nil {
		return nil, err
	}
	return listOf(nameOf(group), element, a), nil
}

func (t *tree) primitive(n *schema.PrimitiveNode, a at) *node {
	l := &leaf{
		index: t.leaves, physical: n.PhysicalType(), length: n.TypeLength(), def: a.def, rep: a.rep,
		// Arrow sees neither nulls nor lists: the levels are decoded here.
		column: schema.NewColumn(n, 0, 0),
	}
	t.leaves++
	out := &node{field: arrowfile.Field{Name: nameOf(n)}, def: a.def, leaf: l}
	out.field.Type = l.typeOf(n)
	if out.field.Type == "" {
		out.refused = fmt.Sprintf("%s as %s", l.physical, n.LogicalType())
	}
	if l.physical == parquet.Types.FixedLenByteArray && l.length <= 0 {
		out.refused = fmt.Sprintf("%s of %d bytes", l.physical, l.length)
	}
	return out
}

// typeOf chooses the column type of a primitive, and how its values become it; "" if there is none.
func (l *leaf) typeOf(n *schema.PrimitiveNode) arrowfile.Type {
	switch t := n.LogicalType().(type) {
	case schema.NullLogicalType:
		return arrowfile.TypeNull
	case *schema.DecimalLogicalType:
		l.convert, l.scale = asDecimal, int(t.Scale())
		return arrowfile.TypeString
	case schema.Float16LogicalType:
		if l.physical == parquet.Types.FixedLenByteArray && l.length == 2 {
			l.convert = asFloat16
			return arrowfile.TypeFloat32
		}
		return ""
	case schema.IntervalLogicalType:
		return ""
	case *schema.TimestampLogicalType:
		if l.unit = unitOf(t.TimeUnit()); l.physical == parquet.Types.Int64 && l.unit > 0 {
			return [4]arrowfile.Type{1: arrowfile.TypeTimestampMS, 2: arrowfile.TypeTimestampUS, 3: arrowfile.TypeTimestamp}[l.unit]
		}
		return ""
	case *schema.TimeLogicalType:
		l.convert, l.unit = asDuration, unitOf(t.TimeUnit())
		if l.unit > 0 && (l.physical == parquet.Types.Int32 || l.physical == parquet.Types.Int64) {
			return arrowfile.TypeDuration
		}
		return ""
	case schema.DateLogicalType:
		if l.physical == parquet.Types.Int32 {
			return arrowfile.TypeDate
		}
		return ""
	case *schema.IntLogicalType:
		return l.integer(int(t.BitWidth()), t.IsSigned())
	case schema.StringLogicalType, schema.EnumLogicalType, schema.JSONLogicalType:
		if l.physical == parquet.Types.ByteArray {
			return arrowfile.TypeString
		}
		return ""
	}
	return l.plainType()
}

// plainType is the column type of a primitive without a logical type, or with one that only names what bytes mean.
func (l *leaf) plainType() arrowfile.Type {
	switch l.physical {
	case parquet.Types.Boolean:
		return arrowfile.TypeBool
	case parquet.Types.Int32:
		return arrowfile.TypeInt32
	case parquet.Types.Int64:
		return arrowfile.TypeInt64
	case parquet.Types.Int96: // what old versions of Hive, Impala and Spark have for times
		l.convert = asInt96
		return arrowfile.TypeTimestamp
	case parquet.Types.Float:
		return arrowfile.TypeFloat32
	case parquet.Types.Double:
		return arrowfile.TypeFloat64
	case parquet.Types.ByteArray, parquet.Types.FixedLenByteArray:
		return arrowfile.TypeBytes
	}
	return ""
}

func (l *leaf) integer(bits int, signed bool) arrowfile.Type {
	types := map[int]arrowfile.Type{8: arrowfile.TypeUint8, 16: arrowfile.TypeUint16, 32: arrowfile.TypeUint32, 64: arrowfile.TypeUint64}
	if signed {
		types = map[int]arrowfile.Type{8: arrowfile.TypeInt8, 16: arrowfile.TypeInt16, 32: arrowfile.TypeInt32, 64: arrowfile.TypeInt64}
	}
	if bits < 32 {
		l.convert, l.length = asNarrow, bits/8
	}
	if l.physical == parquet.Types.Int32 && bits <= 32 || l.physical == parquet.Types.Int64 && bits == 64 {
		return types[bits]
	}
	return ""
}

func unitOf(u schema.TimeUnitType) int {
	switch u {
	case schema.TimeUnitMillis:
		return 1
	case schema.TimeUnitMicros:
		return 2
	case schema.TimeUnitNanos:
		return 3
	}
	return 0
}
