//go:build unix

package s3store_test

import (
	"fmt"
	"io"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/storage"
	"golang.org/x/sync/errgroup"
)

// cpu is the time that this process, the client, has computed.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// parallel calls do b.N times, 4 at a time. Since client and server share the machine, the client's own share is told as well.
func parallel(b *testing.B, size int, do func(n int) error) {
	b.Helper()
	b.SetBytes(int64(size))
	before := cpu(b)
	defer func() {
		b.ReportMetric((cpu(b)-before).Seconds()/(float64(size)*float64(b.N)/1e9), "client-s/GB")
	}()
	var g errgroup.Group
	g.SetLimit(4)
	for n := range b.N {
		g.Go(func() error { return do(n) })
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
}

// Bytes a second to and from real servers over loopback, client and server sharing the machine.
func BenchmarkTransfer(b *testing.B) {
	const mib = 1 << 20
	for name, start := range starters() {
		b.Run(name, func(b *testing.B) {
			s := start(b)
			bucket := client(b, options(s)).Bucket(s.NewBucket(b))
			ctx := b.Context()
			for _, size := range []int{1 * mib, 8 * mib, 64 * mib} {
				body := make([]byte, size)
				key := fmt.Sprint("size-", size)
				if _, err := bucket.Put(ctx, key, body, false); err != nil {
					b.Fatal(err)
				}
				b.Run(fmt.Sprint("get-", size/mib, "MiB"), func(b *testing.B) {
					parallel(b, size, func(int) error { return fetch(b, bucket, key) })
				})
				b.Run(fmt.Sprint("put-", size/mib, "MiB"), func(b *testing.B) {
					parallel(b, size, func(n int) error {
						_, err := bucket.Put(ctx, fmt.Sprint("put-", n%8), body, false)
						return err
					})
				})
				if size < 5*mib {
					continue
				}
				b.Run(fmt.Sprint("part-", size/mib, "MiB"), func(b *testing.B) {
					id, err := bucket.Uploads().Create(ctx, "parts")
					if err != nil {
						b.Fatal(err)
					}
					parallel(b, size, func(n int) error {
						_, err := bucket.Uploads().Part(ctx, "parts", id, n%8+1, body)
						return err
					})
				})
			}
		})
	}
}

// fetch reads an object into a buffer as the input readers do, in blocks of 1 MiB.
func fetch(b *testing.B, bucket storage.Backend, key string) error {
	body, _, err := bucket.Read(b.Context(), key, 0, -1, "")
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{body}, make([]byte, 1<<20))
	return err
}
