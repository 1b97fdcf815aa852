package wire

import (
	"context"
	"fmt"
	"reflect"
	"testing"
	"time"
)

// fullOf returns a message in which no field, at any depth, is zero, and each differs from the others. Were a field not sent,
// misspelt in a copy, or stopped by the guard, it would come out different.
func fullOf[T any]() *T {
	v, n := new(T), 0
	setAll(reflect.ValueOf(v).Elem(), &n, 0)
	return v
}

func setAll(v reflect.Value, n *int, depth int) {
	*n++
	switch k := v.Kind(); {
	case v.Type() == reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(time.Unix(int64(*n), 7).UTC()))
	case k == reflect.Bool:
		v.SetBool(true)
	case v.CanInt():
		v.SetInt(int64(1 + *n%100))
	case v.CanUint():
		v.SetUint(uint64(1 + *n%100))
	case v.CanFloat():
		v.SetFloat(float64(*n) + 0.5)
	case k == reflect.String:
		v.SetString(fmt.Sprint("text ", *n))
	case k == reflect.Slice:
		if depth > 8 { // a type that holds itself
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			setAll(v.Index(i), n, depth+1)
		}
	case k == reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range 2 {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			setAll(key, n, depth+1)
			setAll(value, n, depth+1)
			v.SetMapIndex(key, value)
		}
	case k == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		setAll(v.Elem(), n, depth+1)
	case k == reflect.Struct:
		for _, f := range v.Fields() {
			setAll(f, n, depth+1)
		}
	default:
		panic(fmt.Sprintf("a message holds a %v, which this test cannot fill", v.Type()))
	}
}

// echo is a Service that notes the arguments of each call and answers with a full reply.
type echo struct{ got any }

func answer[A, R any](e *echo, args *A) (*R, error) {
	e.got = args
	return fullOf[R](), nil
}

func (e *echo) Poll(_ context.Context, a *PollArgs) (*PollReply, error) {
	return answer[PollArgs, PollReply](e, a)
}
func (e *echo) Job(_ context.Context, a *JobArgs) (*JobReply, error) {
	return answer[JobArgs, JobReply](e, a)
}
func (e *echo) Runs(_ context.Context, a *RunsArgs) (*RunsReply, error) {
	return answer[RunsArgs, RunsReply](e, a)
}
func (e *echo) Submit(_ context.Context, a *SubmitArgs) (*SubmitReply, error) {
	return answer[SubmitArgs, SubmitReply](e, a)
}
func (e *echo) Watch(_ context.Context, a *WatchArgs) (*JobStatus, error) {
	return answer[WatchArgs, JobStatus](e, a)
}
func (e *echo) List(_ context.Context, a *ListArgs) (*ListReply, error) {
	return answer[ListArgs, ListReply](e, a)
}
func (e *echo) Cancel(_ context.Context, a *CancelArgs) (*CancelReply, error) {
	return answer[CancelArgs, CancelReply](e, a)
}
func (e *echo) Logs(_ context.Context, a *LogsArgs) (*LogsReply, error) {
	return answer[LogsArgs, LogsReply](e, a)
}
func (e *echo) Explain(_ context.Context, a *ExplainArgs) (*Explanation, error) {
	return answer[ExplainArgs, Explanation](e, a)
}
func (e *echo) Task(_ context.Context, a *TaskArgs) (*TaskReply, error) {
	return answer[TaskArgs, TaskReply](e, a)
}

// carry makes a call with full arguments and checks both ways; then with empty ones, which must come as they are too.
func carry[A, R any](t *testing.T, e *echo, call func(context.Context, *A) (*R, error)) {
	t.Helper()
	for _, args := range []*A{fullOf[A](), new(A)} {
		reply, err := call(t.Context(), args)
		if err != nil {
			t.Errorf("%T: %v", args, err)
			return
		}
		if !reflect.DeepEqual(e.got, args) {
			t.Errorf("%T arrived as\n%+v, was sent as\n%+v", args, e.got, args)
		}
		if want := fullOf[R](); !reflect.DeepEqual(reply, want) {
			t.Errorf("%T came back as\n%+v, was given as\n%+v", reply, reply, want)
		}
	}
}

// Proves that every field of every message arrives, through the client, the guard and the server, of each call there is.
func TestEveryFieldArrives(t *testing.T) {
	t.Parallel()
	e := &echo{}
	l, _ := serve(t, e, ServerOptions{})
	worker, client := dial(t, l, ClientOptions{Role: RoleWorker}), dial(t, l, ClientOptions{Role: RoleClient})
	carry(t, e, worker.Poll)
	carry(t, e, worker.Job)
	carry(t, e, worker.Runs)
	carry(t, e, client.Submit)
	carry(t, e, client.Watch)
	carry(t, e, client.List)
	carry(t, e, client.Cancel)
	carry(t, e, client.Logs)
	carry(t, e, client.Explain)
	carry(t, e, client.Task)
	if calls := reflect.TypeFor[Service]().NumMethod(); calls != 10 {
		t.Errorf("a Service has %d calls, this test makes 10: add the new one", calls)
	}
}
