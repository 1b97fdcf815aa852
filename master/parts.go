package master

import (
	"cmp"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"path"
	"slices"
	"strings"

	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/jobs/plan"
	"github.com/millrace/millrace/master/sched"
	"github.com/millrace/millrace/master/wire"
	"github.com/millrace/millrace/storage/manifest"
)

// leftParts is what one task's attempt left in the output: the attempt that was selected last. That holds also while its run
// is lost and the task runs again: parts lie in the store, whatever becomes of their worker.
type leftParts struct {
	n     int // of the attempt
	parts []wire.Part
}

// is says whether they are an attempt's.
func (l leftParts) is(n int) bool { return l.n == n && l.parts != nil }

// leave replaces a task's parts by those of a newly selected attempt.
func (j *job) leave(id sched.AttemptID, parts []wire.Part) {
	t := id.Task
	if j.parts[t.Phase] == nil {
		if len(parts) == 0 {
			return // the maps of most jobs leave none
		}
		n := j.plan.Reducers
		if t.Phase == sched.Map {
			n = j.plan.Maps
		}
		j.parts[t.Phase] = make([]leftParts, n)
	}
	slot := &j.parts[t.Phase][t.Index]
	j.countParts(slot.parts, -1)
	j.countParts(parts, 1)
	*slot = leftParts{id.N, parts}
}

// leftBy are the parts that count for a task.
func (j *job) leftBy(t sched.TaskID) []wire.Part {
	if list := j.parts[t.Phase]; t.Index < len(list) {
		return list[t.Index].parts
	}
	return nil
}

// sizeOf adds up the rows and bytes of parts.
func sizeOf(parts []wire.Part) (rows, bytes int64) {
	for _, p := range parts {
		rows += p.Rows
		bytes += p.Pending.Size
	}
	return rows, bytes
}

// countParts adds parts to the totals of their outputs, or takes them off.
func (j *job) countParts(parts []wire.Part, sign int) {
	for _, p := range parts {
		output, _ := manifest.CutName(p.Name)
		t := j.outputs[output]
		t.Name = output
		t.Parts += sign
		t.Rows += int64(sign) * p.Rows
		t.Bytes += int64(sign) * p.Pending.Size
		j.outputs[output] = t
	}
}

// sideTotals are the totals of the side outputs that the job has, by name, those without rows too.
func (j *job) sideTotals() (list []wire.OutputStatus) {
	for _, o := range j.sides() {
		t := j.outputs[o.name]
		t.Name = o.name
		list = append(list, t)
	}
	return list
}

// side is a side output that a job may write to.
type side struct {
	name   string
	schema jobs.Schema
}

// sides lists the side outputs that the job may write to, by name.
func (j *job) sides() (list []side) {
	for _, o := range j.spec.Info.Outputs {
		list = append(list, side{o.Name, o.Schema})
	}
	if j.spec.SkipBad.Any() {
		list = append(list, side{manifest.Rejected, jobs.RejectedSchema()})
	}
	slices.SortFunc(list, func(a, b side) int { return strings.Compare(a.name, b.name) })
	return list
}

// placed is one part of the output and the attempt that left it.
type placed struct {
	attempt sched.AttemptID
	output  string
	wire.Part
}

// placed lists all parts that make up the output, in the order of the manifest: the job's rows, then the side outputs by name,
// and of each the parts of the maps before those of the reduces.
func (j *job) placed() (list []placed) {
	for phase, tasks := range j.parts {
		for index, left := range tasks {
			id := sched.AttemptID{Task: sched.TaskID{Job: j.id, Phase: sched.Phase(phase), Index: index}, N: left.n}
			for _, p := range left.parts {
				output, _ := manifest.CutName(p.Name)
				list = append(list, placed{id, output, p})
			}
		}
	}
	slices.SortStableFunc(list, func(a, b placed) int { return cmp.Compare(a.output, b.output) })
	return list
}

// manifestParts lists the parts of the job's rows, and the side outputs, those without rows too.
func (j *job) manifestParts() (rows []manifest.Part, outputs []manifest.Output, err error) {
	for _, s := range j.sides() {
		schema, err := json.Marshal(s.schema)
		if err != nil {
			return nil, nil, fmt.Errorf("manifest of job %s: schema of output %s: %w", j.id, s.name, err)
		}
		t := j.outputs[s.name]
		outputs = append(outputs, manifest.Output{Name: s.name, Schema: schema, Parts: []manifest.Part{}, Rows: t.Rows, Bytes: t.Bytes})
	}
	at := 0 // both are in the order of the outputs' names
	for _, p := range j.placed() {
		part := manifest.Part{Name: p.Name, Rows: p.Rows, Bytes: p.Pending.Size, CRC32C: p.Pending.CRC32C}
		if p.output == "" {
			rows = append(rows, part)
			continue
		}
		for outputs[at].Name != p.output {
			at++
		}
		outputs[at].Parts = append(outputs[at].Parts, part)
	}
	return rows, outputs, nil
}

// rowsPhase is the phase whose tasks make the job's rows, and rowsParts how many there are.
func (j *job) rowsPhase() sched.Phase {
	if j.plan.Reducers == 0 {
		return sched.Map
	}
	return sched.Reduce
}

func (j *job) rowsParts() int { return rowsParts(j.plan) }

func rowsParts(p *plan.Plan) int {
	if p.Reducers == 0 {
		return p.Maps
	}
	return p.Reducers
}

// unfitParts says what is wrong with the parts of a task's success, or nothing: the job's rows first if the task makes them, and
// at most one part for each side output, under its own name and with rows.
func (j *job) unfitParts(t sched.TaskID, parts []wire.Part) string {
	rest := parts
	if t.Phase == j.rowsPhase() {
		if len(parts) == 0 || parts[0].Name != manifest.PartName(t.Index) {
			return "there is no part " + manifest.PartName(t.Index) + " in it"
		}
		rest = parts[1:]
	}
	name := manifest.SideName
	if t.Phase == sched.Map {
		name = manifest.MapSideName
	}
	may := map[string]bool{}
	for _, o := range j.sides() {
		may[name(o.name, t.Index)] = o.name != manifest.Rejected || t.Phase == sched.Map
	}
	for _, p := range rest {
		if !may[p.Name] || p.Rows == 0 {
			return fmt.Sprintf("a part %q of %d rows, which the task has none of", cut(p.Name, 1<<10), p.Rows)
		}
		may[p.Name] = false
	}
	for _, p := range parts {
		switch url := j.spec.Output + "/" + p.Name; {
		case p.Pending.URL != url:
			return fmt.Sprintf("its part is %q, not %s", cut(p.Pending.URL, 1<<10), url)
		case p.Pending.Size < 0 || p.Rows < 0:
			return fmt.Sprintf("a part of %d bytes and %d rows", p.Pending.Size, p.Rows)
		}
	}
	return ""
}

// isPart says whether a name in an output folder is that of a part, of whatever job.
func isPart(name string) bool {
	_, ok := manifest.CutName(name)
	return ok
}

// isHidden says whether a name in an output folder is a pending upload's file, or what a dead job left.
func isHidden(name string) bool {
	return strings.HasPrefix(name, ".") || strings.HasPrefix(path.Base(name), ".")
}

// owns says whether a name in the output folder is one that a part of this job may have. Folders below that are none of its
// side outputs may be another job's output.
func (j *job) owns(name string) bool {
	output, ok := manifest.CutName(name)
	return ok && (output == "" || slices.ContainsFunc(j.sides(), func(s side) bool { return s.name == output }))
}

// sumOf is the checksum of the parts that a map attempt left beside its run, as far as they must be the same when the task runs
// again: with none it is 0. A stack or an error's text may differ each time.
func sumOf(parts []wire.Part) (sum uint64) {
	for _, p := range parts {
		if output, _ := manifest.CutName(p.Name); output == manifest.Rejected {
			continue
		}
		h := fnv.New64a()
		fmt.Fprintf(h, "%s %d %d %d", p.Name, p.Rows, p.Pending.Size, p.Pending.CRC32C)
		sum ^= h.Sum64()
	}
	return sum
}
