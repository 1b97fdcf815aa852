package wire

import "context"

// WorkerService is what a master does for workers. The context of a call ends when the caller gives it up, its connection
// breaks or the server stops: a long poll must return then. Errors wrap this package's sentinels; others reach the
// caller as ErrInternal.
type WorkerService interface {
	Poll(ctx context.Context, args *PollArgs) (*PollReply, error)
	Job(ctx context.Context, args *JobArgs) (*JobReply, error)
	Runs(ctx context.Context, args *RunsArgs) (*RunsReply, error)
}

// ClientService is what a master does for the CLI and for programs that submit jobs; see WorkerService.
type ClientService interface {
	Submit(ctx context.Context, args *SubmitArgs) (*SubmitReply, error)
	Watch(ctx context.Context, args *WatchArgs) (*JobStatus, error)
	List(ctx context.Context, args *ListArgs) (*ListReply, error)
	Cancel(ctx context.Context, args *CancelArgs) (*CancelReply, error)
	Logs(ctx context.Context, args *LogsArgs) (*LogsReply, error)
}

// Inspector is what a master tells those who look into a job; see WorkerService.
type Inspector interface {
	Explain(ctx context.Context, args *ExplainArgs) (*Explanation, error)
	Task(ctx context.Context, args *TaskArgs) (*TaskReply, error)
}

// Service is everything that a master does for others.
type Service interface {
	WorkerService
	ClientService
	Inspector
}
