package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/master/console"
	"github.com/millrace/millrace/master/wire"
)

func explainCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "explain ID [TASK]",
		Short: "Show where a job's time went: steps, slow tasks and why, hot keys, skew, requests and their price",
		Long: "Show where the time of a job went that runs or has ended: the steps of its tasks, the slowest ones and why they were slow, keys with " +
			"many pairs, how even the partitions are, spills, retries, backup attempts and what they saved, and what was asked of the storage with " +
			"an estimate of its price.\n\nWith a task's name, as logs and this command print it (map-00003), show that task and its counters.\n\n" +
			"A master keeps this of the jobs that it knows. For a job run with the command run there is run --explain.",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 2 {
				return nil
			}
			return millrace.Arguments(1, "job id")(c, args)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print it as JSON")
	return withMaster(c, "explain 0f843ea0\n  millrace explain 0f843ea0 map-00003", func(ctx context.Context, cl *wire.Client, args []string) error {
		ask := &wire.ExplainArgs{Job: wire.JobID(args[0])}
		if len(args) == 2 {
			ask.Task = args[1]
		}
		x, err := cl.Explain(ctx, ask)
		switch {
		case errors.Is(err, wire.ErrUnknownCall):
			return fmt.Errorf("explain: the master is of an older version and cannot tell: %w", err)
		case err != nil:
			return err
		case asJSON:
			return console.NewExplained(x).Write(os.Stdout)
		}
		_, width := console.Terminal(os.Stdout)
		return console.Explain(os.Stdout, x, time.Now(), width)
	})
}
