package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/cmd/internal/gen"
	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/master/console"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/backends"
)

func genCommand() *cobra.Command {
	size, seed, out := int64(100<<20), uint64(1), "-"
	c := &cobra.Command{
		Use:   "gen " + strings.Join(gen.Kinds(), "|"),
		Short: "Make test data: the same bytes for the same size and seed",
		Long: "Make test data. text: prose-like lines whose words follow Zipf's law. records: 100-byte records, a 10-byte random key first " +
			"and a newline last. measurements: lines of one of 413 stations and a temperature, as in Oslo;-3.4. access-log: requests " +
			"of 200,000 clients in Apache's combined format. numbers: random 64-bit numbers, a line each. The same kind, size and seed " +
			"give the same bytes.",
		Example: "  millrace gen text --size 1GB --seed 7 -o text.txt\n  millrace gen access-log --size 1GB > access.log\n  millrace gen records --size 100MB -o s3://data/records.dat",
		Args:    millrace.Arguments(1, "kind of data"),
		RunE: func(c *cobra.Command, args []string) error {
			if !slices.Contains(gen.Kinds(), args[0]) {
				return millrace.Usage(fmt.Errorf("gen %s: no such kind of data: use one of %s", args[0], strings.Join(gen.Kinds(), ", ")))
			}
			if out == "-" {
				if is, _ := console.Terminal(os.Stdout); is {
					return millrace.Usage(errors.New("gen: standard output is a terminal: name a file or URL with -o, or pipe the data on"))
				}
				return gen.Write(os.Stdout, args[0], size, seed)
			}
			u, err := storage.ParseURL(out)
			if err != nil {
				return millrace.Usage(err)
			}
			n, err := genObject(c.Context(), backends.New(backends.Options{}), u.String(), func(w io.Writer) error {
				return gen.Write(w, args[0], size, seed)
			})
			if err != nil {
				return err
			}
			fmt.Fprintf(os.Stderr, "wrote %d bytes to %s\n", n, out)
			return nil
		},
	}
	c.ValidArgs = gen.Kinds()
	fs := c.Flags()
	fs.Var((*jobs.Size)(&size), "size", "bytes to make, as in 100MB or 1GiB")
	fs.Uint64Var(&seed, "seed", seed, "another seed makes other data")
	fs.StringVarP(&out, "output", "o", out, "file or URL; - is standard output")
	return c
}

// genObject makes an object of what write writes, and returns its size. Where that fails or ctx ends, it leaves neither an
// object nor an upload.
func genObject(ctx context.Context, st *storage.Store, url string, write func(io.Writer) error) (int64, error) {
	up, err := st.Create(ctx, url, storage.UploadOptions{})
	if err != nil {
		return 0, err
	}
	if err := write(up); err != nil {
		return 0, errors.Join(err, up.Abort(context.WithoutCancel(ctx)))
	}
	p, err := up.Finish(ctx)
	if err != nil {
		return 0, errors.Join(err, up.Abort(context.WithoutCancel(ctx)))
	}
	if err := st.Complete(ctx, p); err != nil {
		return 0, errors.Join(err, st.Abort(context.WithoutCancel(ctx), p))
	}
	return p.Size, nil
}
