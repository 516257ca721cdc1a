package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Curation is what becomes of a set once it is complete and judged; on AWS
// alone. Users of DLM know all of it but the lock.
type Curation struct {
	Copies       []Copy      `json:"copies,omitempty"`       // at most 3; empty: none
	Share        Share       `json:"share,omitzero"`         // empty: with nobody
	Archive      Archive     `json:"archive,omitzero"`       // empty: nothing is archived
	FastRestore  FastRestore `json:"fastRestore,omitzero"`   // empty: nothing is restored fast
	Lock         Lock        `json:"lock,omitzero"`          // empty: nothing is locked
	SkipDegraded bool        `json:"skipDegraded,omitempty"` // true: a set of which less was proved than the policy asks for is left as it is
}

// Copy is one further Region that has every set.
type Copy struct {
	Region    string    `json:"region"`
	Encrypted bool      `json:"encrypted,omitempty"` // true: also of a set that is not; one that is stays so in any case
	KeyARN    string    `json:"keyArn,omitempty"`    // of that Region; with encrypted alone; empty: the key that is usual there
	Retention Retention `json:"retention,omitzero"`  // of the copies; empty: every one is kept
}

// Share lets other accounts use the sets.
type Share struct {
	Accounts     []string `json:"accounts"`              // 1-50 account numbers
	UnshareAfter Age      `json:"unshareAfter,omitzero"` // since it was shared; empty: for good
}

// Archive moves sets to where storage is cheap, whole snapshots are stored, and
// one must be brought back before it is used: those alone that are kept for a
// month's or a year's sake, and never the newest good one.
type Archive struct {
	After Age `json:"after"`         // since it was taken; at least 1d
	Keep  Age `json:"keep,omitzero"` // in the archive, before retention may delete it; at least 90d, which are billed for in any case; empty: for good
}

// FastRestore has the newest sets ready at full speed, at a price by the hour.
type FastRestore struct {
	Zones  []string `json:"zones"`           // 1-10, all of the Region of the sets
	Count  int      `json:"count,omitempty"` // 1-1000: so many of the newest of each instance; either this
	Within Age      `json:"within,omitzero"` // or those that are younger
}

// Lock keeps everybody from deleting a set.
type Lock struct {
	Mode         string `json:"mode"`                   // governance, compliance
	Days         int    `json:"days"`                   // 1-36500, from when the set is complete
	CoolOffHours int    `json:"coolOffHours,omitempty"` // 1-72: with compliance, so long it can still be undone; 0: it never can
}

// Modes of a lock: who may take it off before its time.
const (
	Governance = "governance" // whoever has the right to
	Compliance = "compliance" // nobody
)

// IsZero reports that there is none.
func (s Share) IsZero() bool       { return len(s.Accounts) == 0 && s.UnshareAfter.IsZero() }
func (f FastRestore) IsZero() bool { return len(f.Zones) == 0 && f.Count == 0 && f.Within.IsZero() }

// Curated reports that anything becomes of a set.
func (f Fleet) Curated() bool {
	return len(f.Copies) > 0 || !f.Share.IsZero() || f.Archive != (Archive{}) || !f.FastRestore.IsZero() || f.Lock != (Lock{})
}

var (
	region  = regexp.MustCompile(`^[a-z]{2}(-[a-z]{1,12}){1,3}-[0-9]{1,2}$`)
	zone    = regexp.MustCompile(`^[a-z]{2}(-[a-z]{1,12}){1,3}-[0-9]{1,2}[a-z]$`)
	account = regexp.MustCompile(`^[0-9]{12}$`)
	key     = regexp.MustCompile(`^arn:aws[a-z-]{0,10}:kms:([a-z0-9-]{1,32}):[0-9]{12}:key/[A-Za-z0-9-]{1,64}$`)
)

// What DLM allows, and what EC2 does.
const (
	maxCopies   = 3
	maxAccounts = 50
	maxZones    = 10
	maxDays     = 36500
	maxCoolOff  = 72
	// A copy carries what its source does, and where it comes from besides.
	maxTagsCurated = 30
)

// curation checks what becomes of a set, and refuses what would end in a set
// that is never deleted, or in a call that is never allowed.
func (c *complaints) curation(d Document, now time.Time) {
	if !d.Curated() {
		if d.SkipDegraded {
			c.add("skipDegraded", "is given, but nothing becomes of any set: wants copies, share, archive, fastRestore or lock")
		}
		return
	}
	if d.Mode == Plugin {
		c.add("mode", "is plugin, which AWS has not; and copies, share, archive, fastRestore and lock are AWS's")
	}
	if len(d.Tags) > maxTagsCurated {
		c.add("tags", "wants at most %d tags where something becomes of a set, got %d: a copy carries them besides its own", maxTagsCurated, len(d.Tags))
	}
	c.copies(d.Copies, now)
	c.share(d, now)
	c.archive(d, now)
	c.fast(d, now)
	c.lock(d.Lock)
}

func (c *complaints) copies(list []Copy, now time.Time) {
	if len(list) > maxCopies {
		c.add("copies", "wants at most %d Regions, got %d", maxCopies, len(list))
	}
	seen := map[string]bool{}
	for i, one := range list {
		at := fmt.Sprintf("copies[%d]", i)
		switch {
		case !region.MatchString(one.Region):
			c.add(at+".region", "wants a Region such as eu-west-1, got %q", one.Region)
		case seen[one.Region]:
			c.add(at+".region", "names %s a second time", one.Region)
		}
		seen[one.Region] = true
		switch of := key.FindStringSubmatch(one.KeyARN); {
		case one.KeyARN == "":
		case of == nil:
			c.add(at+".keyArn", "wants the ARN of a KMS key, got %q", one.KeyARN)
		case of[1] != one.Region:
			c.add(at+".keyArn", "is a key of %s, but the copy goes to %s: a key works in its own Region", of[1], one.Region)
		case !one.Encrypted:
			c.add(at+".encrypted", "wants true: keyArn is given, and nothing else uses it")
		}
		c.retention(at+".retention", one.Retention, now)
	}
}

func (c *complaints) share(d Document, now time.Time) {
	s := d.Share
	if s.IsZero() {
		return
	}
	if n := len(s.Accounts); n < 1 || n > maxAccounts {
		c.add("share.accounts", "wants 1-%d accounts, got %d", maxAccounts, n)
	}
	for i, a := range s.Accounts {
		at := fmt.Sprintf("share.accounts[%d]", i)
		switch {
		case !account.MatchString(a):
			c.add(at, "wants an account's 12 digits, got %q", a)
		case slices.Index(s.Accounts, a) < i:
			c.add(at, "names %s a second time", a)
		}
	}
	c.age("share.unshareAfter", s.UnshareAfter, now)
	switch {
	case s.UnshareAfter.IsZero() && !d.Retention.IsZero():
		c.add("share.unshareAfter", "is missing: a set that is shared is not deleted, so that retention would keep every one")
	case !d.Retention.Within.IsZero() && !longer(d.Retention.Within, s.UnshareAfter, now):
		c.add("share.unshareAfter", "wants less than retention.within, which is %s, got %s: a set that is shared is not deleted", d.Retention.Within, s.UnshareAfter)
	}
}

func (c *complaints) archive(d Document, now time.Time) {
	a := d.Archive
	if a == (Archive{}) {
		return
	}
	c.age("archive.after", a.After, now)
	c.age("archive.keep", a.Keep, now)
	if !a.Keep.IsZero() && longer(shortest, a.Keep, now) {
		c.add("archive.keep", "wants at least %s, which are billed for in any case, got %s", shortest, a.Keep)
	}
	switch {
	case !longer(a.After, Age{Hours: 23}, now):
		c.add("archive.after", "wants at least 1d, got %s", a.After)
	case d.Retention.Monthly == 0 && d.Retention.Yearly == 0:
		c.add("archive", "wants retention.monthly or retention.yearly: those alone are archived that are kept for a month's or a year's sake, because each is stored as a full snapshot, for 90 days at the least")
	case !d.Share.IsZero() && !longer(a.After, d.Share.UnshareAfter, now):
		c.add("archive.after", "wants more than share.unshareAfter, which is %s, got %s: what is archived is shared with nobody", d.Share.UnshareAfter, a.After)
	case !d.Share.IsZero() && d.Share.UnshareAfter.IsZero():
		c.add("archive.after", "is given, but share has no unshareAfter: what is archived is shared with nobody")
	case !d.FastRestore.Within.IsZero() && !longer(a.After, d.FastRestore.Within, now):
		c.add("archive.after", "wants more than fastRestore.within, which is %s, got %s: what is archived is not restored fast", d.FastRestore.Within, a.After)
	}
}

func (c *complaints) fast(d Document, now time.Time) {
	f := d.FastRestore
	if f.IsZero() {
		return
	}
	if n := len(f.Zones); n < 1 || n > maxZones {
		c.add("fastRestore.zones", "wants 1-%d zones, got %d", maxZones, n)
	}
	for i, z := range f.Zones {
		at := fmt.Sprintf("fastRestore.zones[%d]", i)
		switch {
		case !zone.MatchString(z):
			c.add(at, "wants a zone such as eu-central-1a, got %q", z)
		case slices.Index(f.Zones, z) < i:
			c.add(at, "names %s a second time", z)
		case z[:len(z)-1] != f.Zones[0][:max(0, len(f.Zones[0])-1)]:
			c.add(at, "is of another Region than %s: a set is restored fast where it is", f.Zones[0])
		}
	}
	if (f.Count == 0) == f.Within.IsZero() {
		c.add("fastRestore", "wants either count or within")
	}
	c.within("fastRestore.count", f.Count, 0, maxKept)
	c.age("fastRestore.within", f.Within, now)
}

func (c *complaints) lock(l Lock) {
	if l == (Lock{}) {
		return
	}
	switch {
	case l.Mode != Governance && l.Mode != Compliance:
		c.add("lock.mode", "wants governance or compliance, got %q", l.Mode)
	case l.Mode == Governance && l.CoolOffHours != 0:
		c.add("lock.coolOffHours", "is given, but mode is governance, which can be undone at any time")
	}
	c.within("lock.days", l.Days, 1, maxDays)
	c.within("lock.coolOffHours", l.CoolOffHours, 0, maxCoolOff)
}

// shortest is how long the archive is billed for, however early a set goes.
var shortest = Age{Days: 90}

// age bounds one.
func (c *complaints) age(at string, a Age, now time.Time) {
	if a.Before(now).Before(oldest.Before(now)) {
		c.add(at, "wants at most %s, got %s", oldest, a)
	}
}

// longer compares two ages by the calendar.
func longer(a, b Age, now time.Time) bool { return a.Before(now).Before(b.Before(now)) }

// Sentences say what becomes of a set, and what it costs.
func (k Curation) Sentences() (list []string) {
	say := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	for _, c := range k.Copies {
		how := "encrypted where the set is"
		switch {
		case c.KeyARN != "":
			how = "encrypted with " + c.KeyARN
		case c.Encrypted:
			how = "encrypted with the key that is usual there"
		}
		say("every good set is copied to %s, %s; kept there: %s. Costs the transfer once and the storage there", c.Region, how, c.Retention)
	}
	if l := k.Lock; l != (Lock{}) {
		who := "whoever may unlock it can do so before"
		if l.Mode == Compliance {
			who = "NOBODY can undo it, not even at once"
			if l.CoolOffHours > 0 {
				who = fmt.Sprintf("NOBODY can undo it after %d hours", l.CoolOffHours)
			}
		}
		say("every good set is locked for %d days by mode %s: %s. It is paid for until then, whatever retention says", l.Days, l.Mode, who)
	}
	if s := k.Share; !s.IsZero() {
		until := "for good"
		if !s.UnshareAfter.IsZero() {
			until = "until " + s.UnshareAfter.String() + " after"
		}
		say("every good set is shared with %s, %s; not what is encrypted with AWS's own key", strings.Join(s.Accounts, ", "), until)
	}
	if f := k.FastRestore; !f.IsZero() {
		which := fmt.Sprintf("the newest good sets of each instance, %d of them,", f.Count)
		if f.Count == 0 {
			which = "good sets younger than " + f.Within.String()
		}
		say("%s are restored fast in %s. Every snapshot costs %.2f USD an hour for that, about %.0f a month; a Region allows 5 snapshots unless its quota was raised",
			which, strings.Join(f.Zones, ", "), fastPrice*float64(len(f.Zones)), fastPrice*float64(len(f.Zones))*24*30)
	}
	if a := k.Archive; a != (Archive{}) {
		say("sets that are kept for a month's or a year's sake alone are archived %s after they were taken. Each is stored as a full snapshot and paid for 90 days at the least; it takes up to 72 hours to have it back; %s", a.After, deleted(a.Keep))
	}
	if k.SkipDegraded {
		say("nothing of this is done with a set of which less was proved than the policy asks for")
	}
	return list
}

// fastPrice is USD for a snapshot, a zone and an hour, in us-east-1.
const fastPrice = 0.75

// deleted says when an archived set may go.
func deleted(keep Age) string {
	if keep.IsZero() {
		return "it is never deleted"
	}
	return "it is not deleted before it was there for " + keep.String()
}
