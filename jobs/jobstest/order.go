package jobstest

import (
	"bytes"
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/millrace/millrace/jobs"
)

// orderer is the Program of a job with jobs.OrderBy.
type orderer interface {
	OrderOf(t *jobs.Task, value []byte) (order any, descending bool, err error)
}

// sortPairs sorts the pairs of a partition by key, and those of a key in the job's order of values if it has one: by the
// typed values as Go compares them, not as the engine does, by bytes in the keys. Pairs that are equal keep their order.
func sortPairs(prog jobs.Program, t *jobs.Task, pairs []pair) error {
	direction := 1
	if prog.Info().Ordered {
		o, ok := prog.(orderer)
		if !ok {
			return fmt.Errorf("oracle: the job orders its values, but its program does not tell how: bind it with package jobs")
		}
		for i := range pairs {
			order, descending, err := o.OrderOf(t, pairs[i].value)
			if err != nil {
				return err
			}
			if pairs[i].order = order; descending {
				direction = -1
			}
		}
	}
	slices.SortStableFunc(pairs, func(a, b pair) int {
		if c := bytes.Compare(a.key, b.key); c != 0 || !prog.Info().Ordered {
			return c
		}
		return direction * compare(reflect.ValueOf(a.order), reflect.ValueOf(b.order))
	})
	return nil
}

// compare orders two values of one type that can be a key, as Go does: false before true, times by their instant, arrays and
// structs by their first elements that differ.
func compare(a, b reflect.Value) int {
	if at, ok := a.Interface().(time.Time); ok {
		return at.Compare(b.Interface().(time.Time))
	}
	switch k := a.Kind(); {
	case k == reflect.Bool:
		return cmp.Compare(fmt.Sprint(a.Bool()), fmt.Sprint(b.Bool()))
	case a.CanInt():
		return cmp.Compare(a.Int(), b.Int())
	case a.CanUint():
		return cmp.Compare(a.Uint(), b.Uint())
	case a.CanFloat():
		return cmp.Compare(a.Float(), b.Float())
	case k == reflect.String:
		return cmp.Compare(a.String(), b.String())
	case k == reflect.Slice:
		return bytes.Compare(a.Bytes(), b.Bytes())
	case k == reflect.Array:
		for i := range a.Len() {
			if c := compare(a.Index(i), b.Index(i)); c != 0 {
				return c
			}
		}
		return 0
	}
	for i := range a.NumField() {
		if c := compare(a.Field(i), b.Field(i)); c != 0 {
			return c
		}
	}
	return 0
}
