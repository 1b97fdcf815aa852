package jobs

// Schema is the columns of a job's rows, derived from the row struct.
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

// The types that inputs of columns have besides. Rows have none of them.
const (
	TypeNull        Type = "null"          // every row is null; there is no data
	TypeDate        Type = "date32"        // int32 days since the Unix epoch
	TypeTimestampS  Type = "timestamp[s]"  // int64 seconds since the Unix epoch, UTC
	TypeTimestampMS Type = "timestamp[ms]" // int64 milliseconds
	TypeTimestampUS Type = "timestamp[us]" // int64 microseconds
	TypeDuration    Type = "duration[ns]"  // int64 nanoseconds; of a time of day, since midnight
)

// Columns is a batch of rows, column by column, in the memory layout of Apache Arrow (little endian).
type Columns struct {
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
