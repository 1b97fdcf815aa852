package main

import (
	"errors"
	"fmt"
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
		Use:   "gen text|records",
		Short: "Make test data: the same bytes for the same size and seed",
		Long: "Make test data. text: prose-like lines whose words follow Zipf's law. records: 100-byte records, a 10-byte random key first " +
			"and a newline last. The same kind, size and seed give the same bytes.",
		Example: "  millrace gen text --size 1GB --seed 7 -o text.txt\n  millrace gen records --size 100MB -o s3://data/records.dat",
		Args:    millrace.Arguments(1, "kind of data"),
		RunE: func(c *cobra.Command, args []string) (err error) {
			if !slices.Contains(gen.Kinds(), args[0]) {
				return millrace.Usage(fmt.Errorf("gen %s: no such kind of data: use %s", args[0], strings.Join(gen.Kinds(), " or ")))
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
			st := backends.New(backends.Options{})
			up, err := st.Create(c.Context(), u.String(), storage.UploadOptions{})
			if err != nil {
				return err
			}
			if err := gen.Write(up, args[0], size, seed); err != nil {
				return errors.Join(err, up.Abort(c.Context()))
			}
			p, err := up.Finish(c.Context())
			if err != nil {
				return errors.Join(err, up.Abort(c.Context()))
			}
			if err := st.Complete(c.Context(), p); err != nil {
				return err
			}
			fmt.Fprintf(os.Stderr, "wrote %d bytes to %s\n", p.Size, out)
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
