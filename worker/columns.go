package worker

import (
	"github.com/millrace/millrace/jobs"
	"github.com/millrace/millrace/storage/arrowfile"
)

// jobs and storage do not know each other: what crosses between them is converted here. The buffers are not copied.

func arrowSchema(s jobs.Schema) arrowfile.Schema {
	return arrowfile.Schema{Fields: arrowFields(s.Fields)}
}

func arrowFields(in []jobs.Field) []arrowfile.Field {
	var out []arrowfile.Field
	for _, f := range in {
		out = append(out, arrowfile.Field{Name: f.Name, Type: arrowfile.Type(f.Type), Nullable: f.Nullable, Fields: arrowFields(f.Fields)})
	}
	return out
}

func arrowColumns(in []jobs.Column) []arrowfile.Column {
	var out []arrowfile.Column
	for _, c := range in {
		out = append(out, arrowfile.Column{Nulls: c.Nulls, Valid: c.Valid, Offsets: c.Offsets, Data: c.Data, Children: arrowColumns(c.Children)})
	}
	return out
}

func jobsSchema(s arrowfile.Schema) jobs.Schema {
	return jobs.Schema{Fields: jobsFields(s.Fields)}
}

func jobsFields(in []arrowfile.Field) []jobs.Field {
	var out []jobs.Field
	for _, f := range in {
		out = append(out, jobs.Field{Name: f.Name, Type: jobs.Type(f.Type), Nullable: f.Nullable, Fields: jobsFields(f.Fields)})
	}
	return out
}

func jobsColumns(in []arrowfile.Column) []jobs.Column {
	var out []jobs.Column
	for _, c := range in {
		out = append(out, jobs.Column{Nulls: c.Nulls, Valid: c.Valid, Offsets: c.Offsets, Data: c.Data, Children: jobsColumns(c.Children)})
	}
	return out
}
