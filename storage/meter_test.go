package storage_test

import (
	"io"
	"math"
	"strings"
	"testing"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/memstore"
)

// A meter counts the requests and bytes of the calls under its context, by kind, and of no others.
func TestMeter(t *testing.T) {
	t.Parallel()
	st := storage.New(storage.Options{Schemes: map[string]storage.Opener{"mem": memstore.Opener()}})
	m := new(storage.Meter)
	ctx := storage.WithMeter(t.Context(), m)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(st.Put(t.Context(), "mem://b/other", []byte("not counted"), false))
	must(st.Put(ctx, "mem://b/x", []byte("0123456789"), true))
	if _, err := st.Stat(ctx, "mem://b/x"); err != nil {
		t.Fatal(err)
	}
	body, _, err := st.Read(ctx, "mem://b/x", 2, 5, "")
	must(err)
	_, err = io.Copy(io.Discard, body)
	must(err)
	body.Close()
	up, err := st.Create(ctx, "mem://b/y", storage.UploadOptions{PartBytes: 10})
	must(err)
	_, err = io.WriteString(up, strings.Repeat("z", 25))
	must(err)
	p, err := up.Finish(ctx)
	must(err)
	must(st.Complete(ctx, p)) // lists the parts first
	must(st.Abort(ctx, p))
	must(st.List(ctx, "mem://b/", func(storage.Info) bool { return true }))
	must(st.Remove(ctx, "mem://b/y"))
	want := storage.Requests{Put: 1, Head: 1, Get: 1, Create: 1, Part: 3, List: 2, Complete: 1, Abort: 1, Delete: 1}
	if got := m.Requests(); got != want || got.Total() != 12 {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if m.In() != 5 || m.Out() != 35 {
		t.Errorf("%d bytes in, %d out: want 5 and 35", m.In(), m.Out())
	}
}

// A listing costs a request for each thousand entries.
func TestMeterPages(t *testing.T) {
	t.Parallel()
	st := storage.New(storage.Options{Schemes: map[string]storage.Opener{"mem": memstore.Opener()}})
	for i := range storage.PageSize + 1 {
		if err := st.Put(t.Context(), "mem://b/in/"+strings.Repeat("x", i+1), nil, false); err != nil {
			t.Fatal(err)
		}
	}
	m := new(storage.Meter)
	if err := st.List(storage.WithMeter(t.Context(), m), "mem://b/in/", func(storage.Info) bool { return true }); err != nil {
		t.Fatal(err)
	}
	if got := m.Requests().List; got != 2 {
		t.Errorf("%d pages, want 2", got)
	}
}

// The price of a thousand of each kind is that of the list.
func TestDollars(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		r    storage.Requests
		want float64
	}{
		{storage.Requests{Get: 1000}, 0.0004}, {storage.Requests{Head: 1000}, 0.0004}, {storage.Requests{List: 1000}, 0.005},
		{storage.Requests{Put: 1000}, 0.005}, {storage.Requests{Create: 1000}, 0.005}, {storage.Requests{Part: 1000}, 0.005},
		{storage.Requests{Complete: 1000}, 0.005}, {storage.Requests{Delete: 1000}, 0}, {storage.Requests{Abort: 1000}, 0},
	} {
		if got := test.r.Dollars(); math.Abs(got-test.want) > 1e-12 {
			t.Errorf("%+v: $%g, want $%g", test.r, got, test.want)
		}
	}
	sum := storage.Requests{Get: 1, Part: 2}
	sum.Add(storage.Requests{Get: 3, Abort: 4})
	if sum != (storage.Requests{Get: 4, Part: 2, Abort: 4}) {
		t.Errorf("the sum is %+v", sum)
	}
}
