package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/memstore"
	"github.com/millrace/millrace/storage/storagetest"
)

// Test data that could not be made, or whose making was interrupted at any point, leaves no object and no upload.
func TestGenObject(t *testing.T) {
	denied := fmt.Errorf("%w: not yours", storage.ErrDenied)
	for _, test := range []struct {
		name        string
		fault       storagetest.Op // that fails
		interrupted string         // before, or after writing
		fails       bool
	}{
		{name: "whole"},
		{name: "interrupted at once", interrupted: "before", fails: true},
		{name: "interrupted", interrupted: "after", fails: true},
		{name: "may not begin", fault: storagetest.OpCreate, fails: true},
		{name: "may not write", fault: storagetest.OpPart, fails: true},
		{name: "may not complete", fault: storagetest.OpComplete, fails: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			bad := storagetest.Faulty(memstore.New())
			st := storage.New(storage.Options{Schemes: map[string]storage.Opener{"mem": bad.Opener()}})
			if test.fault != "" {
				bad.Plan(storagetest.Fault{Op: test.fault, Err: denied, Times: -1})
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			n, err := genObject(ctx, st, "mem://b/x", func(w io.Writer) error {
				if test.interrupted == "before" {
					cancel()
				}
				_, err := w.Write([]byte("data"))
				if test.interrupted == "after" {
					cancel()
				}
				return err
			})
			if (err != nil) != test.fails || test.fault != "" && !errors.Is(err, storage.ErrDenied) || err == nil && n != 4 {
				t.Errorf("got %d, %v", n, err)
			}
			bad.Plan()
			var left []string
			if err := st.Uploads(t.Context(), "mem://b/", func(url, _ string, _ time.Time) bool {
				left = append(left, url)
				return true
			}); err != nil || len(left) > 0 {
				t.Errorf("left are the uploads %q, %v", left, err)
			}
			if _, err := st.Stat(t.Context(), "mem://b/x"); (err == nil) == test.fails {
				t.Errorf("of the object: %v", err)
			}
		})
	}
}
