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
)

func main() {
	root := millrace.Command("millrace", builtin.All()...)
	root.AddCommand(
		submitCommand(), listCommand(), statusCommand(), waitCommand(), cancelCommand(), logsCommand(),
		masterCommand(), workerCommand(), clusterCommand(),
		catCommand(), genCommand(), versionCommand(),
	)
	os.Exit(millrace.Execute(root))
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		Run: func(*cobra.Command, []string) { fmt.Println(millrace.Version) },
	}
}
