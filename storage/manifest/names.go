package manifest

import (
	"fmt"
	"strings"
)

// The names of parts in an output folder:
//
//	part-00000.arrow         the job's rows of reduce task 0, or in a job without reduce tasks of map task 0
//	errors/part-00000.arrow  what reduce task 0 put into the side output errors
//	errors/map-00000.arrow   what map task 0 put there
//	rejected/map-00000.arrow the records that map task 0 set aside

// Rejected is the side output for records that were set aside. A job cannot have one of its own by this name.
const Rejected = "rejected"

// PartName is the name of the part that a reduce task, or in a job without those a map task, makes of the job's rows.
func PartName(task int) string { return fmt.Sprintf("part-%05d.arrow", task) }

// SideName is the name of the part that a reduce task leaves in a side output.
func SideName(output string, task int) string { return output + "/" + PartName(task) }

// MapSideName is the name of the part that a map task leaves in a side output.
func MapSideName(output string, task int) string {
	return fmt.Sprintf("%s/map-%05d.arrow", output, task)
}

// CutName takes a part's name apart. output is "" for the job's rows; ok is false for a name that no part has.
func CutName(name string) (output string, ok bool) {
	output, base, side := strings.Cut(name, "/")
	if !side {
		return "", numbered("part-", name)
	}
	return output, CheckOutput(output) == nil && (numbered("part-", base) || numbered("map-", base))
}

// numbered says whether a name is that of a task's part: five digits or more, and nothing else, which another program's could be.
func numbered(prefix, name string) bool {
	number, is := strings.CutPrefix(name, prefix)
	number, arrow := strings.CutSuffix(number, ".arrow")
	return is && arrow && len(number) >= 5 && strings.Trim(number, "0123456789") == ""
}

// maxOutputName bounds the name of a side output, bytes: it is a folder's name in every file system.
const maxOutputName = 100

// CheckOutput says what is wrong with the name of a side output: it is the name of a folder, which must be no part's, no
// hidden one and the same on every store.
func CheckOutput(name string) error {
	odd := strings.IndexFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.')
	})
	switch {
	case name == "":
		return fmt.Errorf("an output needs a name")
	case len(name) > maxOutputName:
		return fmt.Errorf("the output's name %.40q... has %d bytes: at most %d are possible", name, len(name), maxOutputName)
	case odd >= 0 || name[0] == '.' || name[0] == '_' || name[0] == '-':
		return fmt.Errorf("the output's name %q must be made of letters, digits, '-', '_' and '.', and begin with a letter or digit", name)
	case strings.HasPrefix(name, "part-"):
		return fmt.Errorf("the output's name %q begins as the files of rows do: choose one without part-", name)
	}
	return nil
}
