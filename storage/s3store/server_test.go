package s3store_test

import (
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
