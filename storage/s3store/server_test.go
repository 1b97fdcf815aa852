package s3store_test

import (
	"errors"
	"testing"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/s3store"
	"github.com/millrace/millrace/storage/storagetest"
	"github.com/millrace/millrace/storage/storagetest/servers"
)

// options are those of a test server's root user.
func options(s *servers.Server) s3store.Options {
	return s3store.Options{
		Endpoint:  s.Endpoint,
		Region:    s.Region,
		AccessKey: s.AccessKey,
		SecretKey: s3store.Secret(s.SecretKey),
	}
}

func client(t testing.TB, o s3store.Options) *s3store.Client {
	t.Helper()
	c, err := s3store.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func starters() map[string]func(testing.TB) *servers.Server {
	return map[string]func(testing.TB) *servers.Server{"minio": servers.MinIO, "versitygw": servers.VersityGW}
}

// The Backend keeps the contract of all backends over MinIO and over versitygw.
func TestConformance(t *testing.T) {
	t.Parallel()
	for name, start := range starters() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			c := client(t, options(s))
			storagetest.Run(t, func(t *testing.T) storage.Backend { return c.Bucket(s.NewBucket(t)) })
		})
	}
}

// Without a region set, the service is asked for the bucket's.
func TestRegionIsAsked(t *testing.T) {
	t.Parallel()
	for name, start := range starters() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			o := options(s)
			o.Region = ""
			b := client(t, o).Bucket(s.NewBucket(t))
			if _, err := b.Put(t.Context(), "key", []byte("abc"), true); err != nil {
				t.Error(err)
			}
			if err := read(t.Context(), client(t, o).Bucket("no-such-bucket"), -1, ""); !errors.Is(err, storage.ErrNoBucket) {
				t.Errorf("missing bucket: got %v, want ErrNoBucket", err)
			}
		})
	}
}
