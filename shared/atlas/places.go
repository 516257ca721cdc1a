package atlas

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/quiesce/quiesce/shared/protocol"
)

// PlacesTag writes where a volume's filesystems were mounted into a tag's value
// of at most so many characters: "xfs:/srv/db" for the volume itself,
// "2=ext4:/boot" for a partition or anything else on it, several with a blank
// between them. What does not fit is counted: "+2".
func PlacesTag(places []protocol.Place, most int) string {
	places = slices.Clone(places)
	slices.SortFunc(places, func(a, b protocol.Place) int { return strings.Compare(a.Path, b.Path) })
	var words []string
	for _, p := range places {
		word := escape(p.Type, ":=+") + ":" + escape(p.Path, "")
		if p.Part != "" {
			word = escape(p.Part, ":=+") + "=" + word
		}
		words = append(words, word)
	}
	for kept := len(words); ; kept-- {
		text := words[:kept:kept]
		if left := len(words) - kept; left > 0 {
			text = append(text, fmt.Sprintf("+%d", left))
		}
		if joined := strings.Join(text, " "); len(joined) <= most || kept == 0 {
			return joined
		}
	}
}

// Places reads such a tag, and how many it leaves out. What is no place is
// counted among them: nobody is kept from a restore by a label.
func Places(tag string) (places []protocol.Place, left int) {
	for word := range strings.FieldsSeq(tag) {
		if n, ok := strings.CutPrefix(word, "+"); ok {
			more, err := strconv.Atoi(n)
			if err != nil || more < 1 {
				more = 1
			}
			left += more
			continue
		}
		var p protocol.Place
		kind, path, ok := strings.Cut(word, ":")
		if part, rest, split := strings.Cut(kind, "="); split {
			p.Part, kind = part, rest
		}
		var errs [3]error
		p.Part, errs[0] = unescape(p.Part)
		p.Type, errs[1] = unescape(kind)
		p.Path, errs[2] = unescape(path)
		if !ok || p.Type == "" || !strings.HasPrefix(p.Path, "/") || errs != [3]error{} {
			left++
			continue
		}
		places = append(places, p)
	}
	return places, left
}

// escape leaves what every provider takes in a tag, and writes any other byte
// as @ and two hexadecimal digits.
func escape(s, besides string) string {
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case strings.IndexByte(besides, c) >= 0:
			fmt.Fprintf(&b, "@%02x", c)
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("_./:=+-", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "@%02x", c)
		}
	}
	return b.String()
}

func unescape(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '@' {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", strconv.ErrSyntax
		}
		c, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil {
			return "", err
		}
		b.WriteByte(byte(c))
		i += 2
	}
	return b.String(), nil
}
