package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/master/console"
	"github.com/millrace/millrace/storage"
	"github.com/millrace/millrace/storage/backends"
	"github.com/millrace/millrace/storage/output"
)

func catCommand() *cobra.Command {
	o := console.RowOptions{Format: console.FormatTable, Limit: 20}
	c := &cobra.Command{
		Use:   "cat OUTPUT",
		Short: "Print the rows of an output",
		Long: "Print the rows of a finished output, part by part. raw prints a one-column output's values as they are: text with a newline " +
			"each, bytes with nothing.",
		Example: "  millrace cat words --limit 5\n  millrace cat words --format csv --limit 0 > words.csv",
		Args:    millrace.Arguments(1, "output"),
		RunE: func(c *cobra.Command, args []string) error {
			if !slices.Contains(console.Formats(), o.Format) {
				return millrace.Usage(fmt.Errorf("--format %s: choose one of %s", o.Format, strings.Join(console.Formats(), ", ")))
			}
			if o.Limit < 0 {
				return millrace.Usage(fmt.Errorf("--limit %d: give 0 for all rows, or how many", o.Limit))
			}
			if _, err := storage.ParseURL(args[0]); err != nil {
				return millrace.Usage(fmt.Errorf("output: %w", err))
			}
			out, err := output.Open(c.Context(), backends.New(backends.Options{}), args[0])
			if err != nil {
				return err
			}
			o.Terminal, o.Width = console.Terminal(os.Stdout)
			return console.Cat(c.Context(), os.Stdout, out, o)
		},
	}
	c.Flags().StringVar(&o.Format, "format", o.Format, "table, csv, ndjson or raw")
	c.Flags().Int64Var(&o.Limit, "limit", o.Limit, "rows at most; 0: all")
	_ = c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(console.Formats(), cobra.ShellCompDirectiveNoFileComp)) // fails only for an unknown name
	return c
}
