package storage_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/memstore"
)

// slowCreate begins uploads late: its caller may have gone meanwhile.
type slowCreate struct {
	storage.Backend
	after time.Duration
}

type slowUploads struct {
	storage.Uploads
	after time.Duration
}

func (b slowCreate) Uploads() storage.Uploads { return slowUploads{b.Backend.Uploads(), b.after} }

func (u slowUploads) Create(ctx context.Context, key string) (string, error) {
	select {
	case <-time.After(u.after):
		return u.Uploads.Create(ctx, key)
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// Create whose context ends while the server begins the upload leaves none behind, and waits for a server that hangs no
// longer than a few seconds.
func TestCreateGivenUp(t *testing.T) {
	for _, after := range []time.Duration{2 * time.Second, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			b := slowCreate{memstore.New(), after}
			s := storage.New(storage.Options{Schemes: map[string]storage.Opener{
				"mem": func(context.Context, string) (storage.Backend, error) { return b, nil },
			}})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			begun := time.Now()
			if _, err := s.Create(ctx, "mem://b/k", storage.UploadOptions{}); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("after %v: got %v", after, err)
			}
			if d := time.Since(begun); d > 6*time.Second {
				t.Errorf("Create took %v after its context's end", d-time.Second)
			}
			err := s.Uploads(t.Context(), "mem://b/", func(url, id string, _ time.Time) bool {
				t.Errorf("after %v: %s is pending", after, url)
				return true
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}
