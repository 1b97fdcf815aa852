package backends_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/backends"
	"github.com/millrace/millrace/storage/s3store"
	"github.com/millrace/millrace/storage/storagetest/servers"
)

// s3 is a Store over a test server.
func s3(s *servers.Server) *storage.Store {
	return backends.New(backends.Options{S3: func() (s3store.Options, error) {
		return s3store.Options{
			Endpoint: s.Endpoint, Region: s.Region, AccessKey: s.AccessKey, SecretKey: s3store.Secret(s.SecretKey),
		}, nil
	}})
}

// What a job does with a bucket works through the Store on real servers: a pending upload becomes visible by its name alone, once
// or twice, is read back in ranges, found by a glob, and a claim is won once.
func TestS3(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(testing.TB) *servers.Server{"minio": servers.MinIO, "versitygw": servers.VersityGW} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := start(t)
			s, ctx := s3(server), t.Context()
			folder := "s3://" + server.NewBucket(t) + "/out/"
			url := folder + "part-00000.arrow"
			body := bytes.Repeat([]byte("0123456789abcdef"), 20<<16)

			u, err := s.Create(ctx, url, storage.UploadOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := u.Write(body); err != nil {
				t.Fatal(err)
			}
			pending, err := u.Finish(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Stat(ctx, url); !errors.Is(err, storage.ErrNotFound) {
				t.Errorf("before Complete: got %v, want ErrNotFound", err)
			}
			other := s3(server) // a master holds no more than the name
			for range 2 {
				if err := errors.Join(other.Lookup(ctx, pending), other.Complete(ctx, pending)); err != nil {
					t.Fatal(err)
				}
			}
			in, info, err := s.Read(ctx, url, 1<<20, 3<<20, "")
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(in)
			if err != nil || !bytes.Equal(got, body[1<<20:4<<20]) || info.Size != int64(len(body)) || info.ETag != pending.ETag {
				t.Errorf("read %d bytes of %+v: %v; want 3 MiB of %d, ETag %s", len(got), info, err, len(body), pending.ETag)
			}
			if err := s.Put(ctx, folder+"_SUCCESS", []byte("mine"), true); err != nil {
				t.Fatal(err)
			}
			if err := other.Put(ctx, folder+"_SUCCESS", []byte("yours"), true); !errors.Is(err, storage.ErrPrecondition) {
				t.Errorf("second claim: got %v, want ErrPrecondition", err)
			}
			for _, input := range []string{folder, folder + "*.arrow", strings.TrimSuffix(folder, "/")} {
				list, err := s.Expand(ctx, []string{input})
				if err != nil || !slices.ContainsFunc(list, func(l storage.Listed) bool { return l.URL == url }) || len(list) != 1 {
					t.Errorf("expand %s: got %v, %v; want the part alone", input, list, err)
				}
			}
		})
	}
}
