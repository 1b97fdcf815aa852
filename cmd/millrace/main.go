// Command millrace runs MapReduce jobs: here and now, or on a cluster of masters and workers that are this same binary.
//
// A file of this package is a subcommand; run, plan and jobs are those of package millrace, which programs with jobs
// of their own have too.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/jobs/builtin"
	"github.com/millrace/millrace/worker/program"
)

func main() {
	reg, err := program.NewRegistry(millrace.Version, builtin.All()...)
	if err != nil { // two jobs of one name
		panic(err)
	}
	root := millrace.Command("millrace", builtin.All()...)
	for _, c := range root.Commands() {
		if c.Name() == "replay" { // the one here asks masters, too
			root.RemoveCommand(c)
		}
	}
	root.AddCommand(
		submitCommand(reg), listCommand(), statusCommand(), waitCommand(), cancelCommand(), logsCommand(), explainCommand(), replayCommand(reg),
		masterCommand(reg), workerCommand(reg), clusterCommand(),
		doctorCommand(), verifyCommand(), gcCommand(), genCommand(), benchCommand(), versionCommand(),
	)
	os.Exit(millrace.Execute(root))
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Example: "  millrace version", Args: millrace.Arguments(0, ""),
		Run: func(*cobra.Command, []string) { fmt.Println(millrace.Version) },
	}
}
