package jobs

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"time"
	"unsafe"
)

// setter reads a text into the field of a record at p. Its error says what is wrong beyond that the text does not fit.
type setter func(p unsafe.Pointer, text string) error

// csvField is a field of a record type: its column, and how its text is read.
type csvField struct {
	name   string
	typ    reflect.Type
	offset uintptr
	set    setter
}

// csvFields compiles a record type. Fields that are not exported are left out and those of an embedded struct count as the outer
// one's, as in rows.
func csvFields(t reflect.Type) ([]csvField, error) {
	fields, err := listCSVFields(t, 0)
	if err != nil {
		return nil, err
	}
	if len(fields) == 0 {
		return nil, errors.New("it has no exported field to make of a column")
	}
	seen := map[string]bool{}
	for _, f := range fields {
		if seen[f.name] {
			return nil, fmt.Errorf("column %s appears twice: rename one with a tag `column:\"...\"`", f.name)
		}
		seen[f.name] = true
	}
	return fields, nil
}

func listCSVFields(t reflect.Type, base uintptr) ([]csvField, error) {
	var fields []csvField
	for f := range t.Fields() {
		name, tagged := f.Tag.Lookup("column")
		if name == "-" {
			continue
		}
		if f.Anonymous && !tagged && f.Type.Kind() == reflect.Struct && f.Type != timeType && !reflect.PointerTo(f.Type).Implements(textType) {
			inner, err := listCSVFields(f.Type, base+f.Offset)
			if err != nil {
				return nil, err
			}
			fields = append(fields, inner...)
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
		if name == "" {
			return nil, fmt.Errorf("field %s: %q is no column name", f.Name, name)
		}
		layout, hasLayout := f.Tag.Lookup("layout")
		set, err := setterOf(f.Type, layout)
		if err == nil && hasLayout && f.Type != timeType && f.Type != reflect.PointerTo(timeType) {
			err = errors.New("a layout is for a time.Time")
		}
		if err != nil {
			return nil, fmt.Errorf("field %s: %w", f.Name, err)
		}
		fields = append(fields, csvField{name, f.Type, base + f.Offset, set})
	}
	return fields, nil
}

var textType = reflect.TypeFor[encoding.TextUnmarshaler]()

// setterOf returns how a field of type t is read.
func setterOf(t reflect.Type, layout string) (setter, error) {
	nullable := t.Kind() == reflect.Pointer
	if nullable {
		t = t.Elem()
	}
	pick := func(set, pointer setter) (setter, error) {
		if nullable {
			return pointer, nil
		}
		return set, nil
	}
	switch {
	case t == timeType:
		set := timeSetter(layout)
		return pick(set, pointerTo[time.Time](set))
	case t == durationType:
		return pick(readDuration, pointerTo[time.Duration](readDuration))
	case reflect.PointerTo(t).Implements(textType):
		return pick(textSetter(t), textPointerSetter(t))
	}
	switch t.Kind() {
	case reflect.String:
		return pick(readString, pointerTo[string](readString))
	case reflect.Bool:
		return pick(readBool, pointerTo[bool](readBool))
	case reflect.Int:
		return pick(readInt[int], pointerTo[int](readInt[int]))
	case reflect.Int8:
		return pick(readInt[int8], pointerTo[int8](readInt[int8]))
	case reflect.Int16:
		return pick(readInt[int16], pointerTo[int16](readInt[int16]))
	case reflect.Int32:
		return pick(readInt[int32], pointerTo[int32](readInt[int32]))
	case reflect.Int64:
		return pick(readInt[int64], pointerTo[int64](readInt[int64]))
	case reflect.Uint:
		return pick(readUint[uint], pointerTo[uint](readUint[uint]))
	case reflect.Uint8:
		return pick(readUint[uint8], pointerTo[uint8](readUint[uint8]))
	case reflect.Uint16:
		return pick(readUint[uint16], pointerTo[uint16](readUint[uint16]))
	case reflect.Uint32:
		return pick(readUint[uint32], pointerTo[uint32](readUint[uint32]))
	case reflect.Uint64:
		return pick(readUint[uint64], pointerTo[uint64](readUint[uint64]))
	case reflect.Float32:
		return pick(readFloat[float32], pointerTo[float32](readFloat[float32]))
	case reflect.Float64:
		return pick(readFloat[float64], pointerTo[float64](readFloat[float64]))
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return pick(readBytes, pointerTo[[]byte](readBytes))
		}
	}
	return nil, fmt.Errorf("type %v cannot be read from CSV: fields are strings, bytes, numbers, bools, times, durations, types with UnmarshalText, and pointers to these", t)
}

// pointerTo makes the setter for a T that of a *T, which is nil for an empty text.
func pointerTo[T any](set setter) setter {
	return func(p unsafe.Pointer, text string) error {
		if text == "" {
			return nil // as the record was
		}
		v := new(T)
		*(**T)(p) = v
		return set(unsafe.Pointer(v), text)
	}
}

func readString(p unsafe.Pointer, text string) error {
	*(*string)(p) = text
	return nil
}

func readBytes(p unsafe.Pointer, text string) error {
	*(*[]byte)(p) = unsafe.Slice(unsafe.StringData(text), len(text))
	return nil
}

func readBool(p unsafe.Pointer, text string) (err error) {
	*(*bool)(p), err = strconv.ParseBool(text)
	return cause(err)
}

func readInt[T int | int8 | int16 | int32 | int64](p unsafe.Pointer, text string) error {
	v, err := strconv.ParseInt(text, 10, 8*int(unsafe.Sizeof(T(0))))
	*(*T)(p) = T(v)
	return cause(err)
}

func readUint[T uint | uint8 | uint16 | uint32 | uint64](p unsafe.Pointer, text string) error {
	v, err := strconv.ParseUint(text, 10, 8*int(unsafe.Sizeof(T(0))))
	*(*T)(p) = T(v)
	return cause(err)
}

func readFloat[T float32 | float64](p unsafe.Pointer, text string) error {
	v, err := strconv.ParseFloat(text, 8*int(unsafe.Sizeof(T(0))))
	*(*T)(p) = T(v)
	return cause(err)
}

func readDuration(p unsafe.Pointer, text string) (err error) {
	*(*time.Duration)(p), err = time.ParseDuration(text)
	if err != nil {
		return errors.New(`a duration is like "1h30m" or "12.5s"`)
	}
	return nil
}

func timeSetter(layout string) setter {
	if layout == "" {
		layout = time.RFC3339
	}
	return func(p unsafe.Pointer, text string) (err error) {
		if *(*time.Time)(p), err = time.Parse(layout, text); err != nil {
			return fmt.Errorf("its layout is %q", layout)
		}
		return nil
	}
}

// textSetter is for types that read themselves.
func textSetter(t reflect.Type) setter {
	return func(p unsafe.Pointer, text string) error {
		return reflect.NewAt(t, p).Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text))
	}
}

func textPointerSetter(t reflect.Type) setter {
	set := textSetter(t)
	return func(p unsafe.Pointer, text string) error {
		if text == "" {
			return nil
		}
		v := reflect.New(t).UnsafePointer()
		*(*unsafe.Pointer)(p) = v
		return set(v, text)
	}
}

// errSyntax is an error that needs no words: the text is not of the type.
var errSyntax = errors.New("")

// cause is what package strconv says is wrong with a text.
func cause(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, strconv.ErrRange):
		return errors.New("out of range")
	}
	return errSyntax
}

// unfit is the error of a field whose text is not of its type.
func (c *csvBlock) unfit(f *csvField, column int, err error) error {
	text := c.fields[column]
	advice := ""
	if err != errSyntax {
		advice = ": " + err.Error()
	} else if text == "" {
		advice = ": where it can be empty, let the field be a pointer"
	}
	return fmt.Errorf("csv: %s: %s does not fit %v%s", c.column(column), shownCSV(text), f.typ, advice)
}
