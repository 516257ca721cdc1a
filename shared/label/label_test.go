package label

import (
	"maps"
	"strings"
	"testing"

	"github.com/quiesce/quiesce/shared/protocol"
)

// aLabel is one that PostgreSQL 15 wrote.
const aLabel = `START WAL LOCATION: 0/4000028 (file 000000010000000000000004)
CHECKPOINT LOCATION: 0/4000060
BACKUP METHOD: streamed
BACKUP FROM: primary
START TIME: 2026-11-28 08:46:12 UTC
LABEL: quiesce
START TIMELINE: 1
`

func TestTags(t *testing.T) {
	for name, c := range map[string]struct {
		files protocol.Files
		most  int
		ok    bool
	}{
		"a label":                    {protocol.Files{Label: aLabel}, 128, true},
		"with tablespaces":           {protocol.Files{Label: aLabel, Spaces: "16384 /srv/far\n16385 /srv/a:b\n"}, 128, true},
		"too long":                   {protocol.Files{Label: aLabel, Spaces: "16384 /" + strings.Repeat("x", 128) + "\n"}, 128, false},
		"a path that no tag takes":   {protocol.Files{Label: aLabel, Spaces: "16384 /srv/my disk\n"}, 255, false},
		"a path that is escaped":     {protocol.Files{Label: aLabel, Spaces: "16384 /srv/a\\\n/b\n"}, 255, false},
		"a map that is no map":       {protocol.Files{Label: aLabel, Spaces: "far /srv\n"}, 255, false},
		"a label of another shape":   {protocol.Files{Label: aLabel + "STOP TIMELINE: 2\n"}, 255, false},
		"a label of a standby":       {protocol.Files{Label: strings.Replace(aLabel, "primary", "standby", 1)}, 255, false},
		"no label":                   {protocol.Files{Spaces: "16384 /srv\n"}, 255, false},
		"nothing":                    {nil, 255, false},
		"something else was kept":    {protocol.Files{"other": "x"}, 255, false},
		"a label that is cut off":    {protocol.Files{Label: aLabel[:100]}, 255, false},
		"more room than is allowed":  {protocol.Files{Label: aLabel}, 20, false},
		"a map without its last end": {protocol.Files{Label: aLabel, Spaces: "16384 /srv"}, 255, false},
	} {
		label, spaces, ok := Tags(c.files, c.most)
		if ok != c.ok || !ok && label+spaces != "" || len(label) > c.most || len(spaces) > c.most {
			t.Errorf("%s: got %q, %q, %v", name, label, spaces, ok)
			continue
		}
		if got := Files(label, spaces); ok && !maps.Equal(got, c.files) || !ok && got != nil {
			t.Errorf("%s: got %q back", name, got)
		}
	}
}

// Tags are anybody's to write: what does not look like ours is nothing.
func TestFilesOfStrangers(t *testing.T) {
	good, _, _ := Tags(protocol.Files{Label: aLabel}, 128)
	for _, c := range [][2]string{{"", ""}, {"x", ""}, {good + "\nrestore", ""}, {good, "16384"}, {good, "16384:srv"}, {good, "far:/srv"}, {good, "1:/a\\b"}} {
		if got := Files(c[0], c[1]); got != nil {
			t.Errorf("%q: got %q", c, got)
		}
	}
}
