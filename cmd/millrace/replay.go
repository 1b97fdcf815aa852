package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/worker/program"
)

// idPrefix is what the beginning of a job's id looks like, or the id of a chain's stage.
var idPrefix = regexp.MustCompile(`^[0-9a-f]{4,32}(\.[0-9]+)?$`)

// replayCommand is the front door's command, which also asks masters: for a name that looks like an id and is no folder here.
func replayCommand(reg *program.Registry) *cobra.Command {
	var masters []string
	source := func(ctx context.Context, name, task string) (*wire.TaskReply, bool, error) {
		if !idPrefix.MatchString(name) {
			return nil, false, nil
		}
		if _, err := os.Stat(name); err == nil {
			return nil, false, nil
		}
		cl, err := dial(ctx, masters, wire.RoleClient, clientConnectFor)
		if err != nil {
			return nil, true, err
		}
		defer cl.Close()
		t, err := cl.Task(ctx, &wire.TaskArgs{Job: wire.JobID(name), Task: task})
		if errors.Is(err, wire.ErrUnknownCall) {
			err = fmt.Errorf("replay: the master is of an older version and cannot tell: name the output of the job: %w", err)
		}
		return t, true, err
	}
	return millrace.ReplayCommand("millrace", reg, source, func(c *cobra.Command) { masterFlag(c.Flags(), &masters) })
}
