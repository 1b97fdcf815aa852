package columns_test

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"math/big"

	"github.com/millrace/millrace/storage/arrowfile"
)

// exact returns a value as testdata/write.py prints it and as a JSON decoder reads that.
func exact(f arrowfile.Field, c arrowfile.Column, row int) any {
	if c.IsNull(row) {
		return nil
	}
	number := func(v, factor int64) any {
		return json.Number(new(big.Int).Mul(big.NewInt(v), big.NewInt(factor)).String())
	}
	switch f.Type {
	case arrowfile.TypeBool:
		return c.Data[row/8]>>(row%8)&1 == 1
	case arrowfile.TypeString:
		return string(c.Raw(row))
	case arrowfile.TypeBytes:
		return "bytes " + hex.EncodeToString(c.Raw(row))
	case arrowfile.TypeFloat32, arrowfile.TypeFloat64:
		v := math.Float64frombits(unsigned(f.Type, c.Data, row))
		if f.Type == arrowfile.TypeFloat32 {
			v = float64(math.Float32frombits(uint32(unsigned(f.Type, c.Data, row))))
		}
		if math.IsNaN(v) {
			return "float nan"
		}
		return fmt.Sprintf("float %016x", math.Float64bits(v))
	case arrowfile.TypeTimestampS:
		return number(int64(unsigned(f.Type, c.Data, row)), 1e9)
	case arrowfile.TypeTimestampMS:
		return number(int64(unsigned(f.Type, c.Data, row)), 1e6)
	case arrowfile.TypeTimestampUS:
		return number(int64(unsigned(f.Type, c.Data, row)), 1e3)
	case arrowfile.TypeUint8, arrowfile.TypeUint16, arrowfile.TypeUint32, arrowfile.TypeUint64:
		return json.Number(fmt.Sprint(unsigned(f.Type, c.Data, row)))
	case arrowfile.TypeStruct:
		return exactRow(f.Fields, c.Children, row)
	case arrowfile.TypeList:
		list := []any{}
		for i := c.Offsets[row]; i < c.Offsets[row+1]; i++ {
			list = append(list, exact(f.Fields[0], c.Children[0], int(i)))
		}
		return list
	}
	shift := 64 - 8*f.Type.Width()
	return json.Number(fmt.Sprint(int64(unsigned(f.Type, c.Data, row)<<shift) >> shift))
}

func unsigned(t arrowfile.Type, data []byte, row int) uint64 {
	var b [8]byte
	copy(b[:], data[row*t.Width():(row+1)*t.Width()])
	return binary.LittleEndian.Uint64(b[:])
}

func exactRow(fields []arrowfile.Field, columns []arrowfile.Column, row int) map[string]any {
	object := map[string]any{}
	for i, f := range fields {
		object[f.Name] = exact(f, columns[i], row)
	}
	return object
}
