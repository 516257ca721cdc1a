// Package label keeps what PostgreSQL hands out at the end of an online backup
// in the tags of the set's snapshots: the files are wanted when the history of
// the run that got them is long gone. A label is short but for its words, which
// are always the same ones; those are left out of the tag.
package label

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/quiesce/quiesce/shared/protocol"
)

// Names of the files.
const (
	Label  = "backup_label"
	Spaces = "tablespace_map"
)

// text is a label as every supported version writes it; its values are those of
// one backup.
var text = regexp.MustCompile(`^START WAL LOCATION: ([0-9A-F]+/[0-9A-F]+) \(file ([0-9A-F]{24})\)
CHECKPOINT LOCATION: ([0-9A-F]+/[0-9A-F]+)
BACKUP METHOD: streamed
BACKUP FROM: primary
START TIME: ([0-9: -]{19} [A-Za-z0-9+-]{1,8})
LABEL: ([a-z]{1,32})
START TIMELINE: ([0-9]{1,10})
$`)

var short = regexp.MustCompile(`^([0-9A-F]+/[0-9A-F]+) ([0-9A-F]{24}) ([0-9A-F]+/[0-9A-F]+) ([0-9: -]{19} [A-Za-z0-9+-]{1,8}) ([a-z]{1,32}) ([0-9]{1,10})$`)

// Tags writes the files into two tags' values of at most so many characters, the
// second empty for a server without tablespaces. All or nothing: a label
// without its map would restore tablespaces to the wrong place.
func Tags(files protocol.Files, most int) (label, spaces string, ok bool) {
	values := text.FindStringSubmatch(files[Label])
	if values == nil {
		return "", "", false
	}
	label = strings.Join(values[1:], " ")
	for line := range strings.Lines(files[Spaces]) {
		id, path, found := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if _, err := strconv.ParseUint(id, 10, 32); err != nil || !found || !strings.HasSuffix(line, "\n") || strings.Contains(path, `\`) || !plain.MatchString(path) {
			return "", "", false // a path that the map itself has to escape
		}
		spaces = strings.TrimPrefix(spaces+" "+id+":"+path, " ")
	}
	if len(label) > most || len(spaces) > most {
		return "", "", false
	}
	return label, spaces, true
}

// plain is a path that a tag takes as it is, and that has no blank.
var plain = regexp.MustCompile(`^/[A-Za-z0-9_./+@=:-]*$`)

// Files are the files of such tags; none if there are none, or they are not
// what Tags writes.
func Files(label, spaces string) protocol.Files {
	v := short.FindStringSubmatch(label)
	if v == nil {
		return nil
	}
	files := protocol.Files{Label: fmt.Sprintf("START WAL LOCATION: %s (file %s)\nCHECKPOINT LOCATION: %s\nBACKUP METHOD: streamed\nBACKUP FROM: primary\nSTART TIME: %s\nLABEL: %s\nSTART TIMELINE: %s\n",
		v[1], v[2], v[3], v[4], v[5], v[6])}
	var list strings.Builder
	for word := range strings.FieldsSeq(spaces) {
		id, path, found := strings.Cut(word, ":")
		if _, err := strconv.ParseUint(id, 10, 32); err != nil || !found || !plain.MatchString(path) {
			return nil
		}
		list.WriteString(id + " " + path + "\n")
	}
	if list.Len() > 0 {
		files[Spaces] = list.String()
	}
	return files
}
