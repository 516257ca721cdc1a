package retention

import (
	"time"

	"github.com/quiesce/quiesce/shared/policy"
)

// cases are histories whose fate the golden file holds.
var cases = []struct {
	name, now string
	rule      policy.Retention
	sets      string
}{
	{"no sets at all", "2026-11-20T12:00:00Z", policy.Retention{Last: 3}, ""},
	{"no retention", "2026-11-20T12:00:00Z", policy.Retention{}, every(300*day, 3, "2026-11-20T02:00:00Z")},
	{"a zone alone is no retention", "2026-11-20T12:00:00Z", policy.Retention{Timezone: "Europe/Berlin"}, every(300*day, 2, "2026-11-20T02:00:00Z")},
	{"the last three", "2026-11-20T12:00:00Z", policy.Retention{Last: 3}, every(day, 5, "2026-11-20T02:00:00Z")},
	{"fewer than the last three", "2026-11-20T12:00:00Z", policy.Retention{Last: 3}, every(day, 2, "2026-11-20T02:00:00Z")},
	{"by age", "2026-11-20T12:00:00Z", policy.Retention{Within: policy.Age{Days: 3}}, every(day, 5, "2026-11-20T02:00:00Z")},
	{"by age, all too old: the newest good one stays", "2026-11-20T12:00:00Z", policy.Retention{Within: policy.Age{Days: 3}}, every(day, 3, "2026-10-01T02:00:00Z")},
	{"by age, exactly as old", "2026-11-20T12:00:00Z", policy.Retention{Within: policy.Age{Days: 1}}, "2026-11-19T12:00:00Z application\n2026-11-19T12:00:01Z application"},
	{"by months, at the end of a long one", "2026-03-31T12:00:00Z", policy.Retention{Within: policy.Age{Months: 1}}, every(14*day, 4, "2026-03-31T02:00:00Z")},
	{"seven days of two a day", "2026-11-20T12:00:00Z", policy.Retention{Daily: 7}, every(12*time.Hour, 20, "2026-11-20T02:00:00Z")},
	{"days with gaps: a day without a set does not count", "2026-11-20T12:00:00Z", policy.Retention{Daily: 3},
		"2026-11-01T02:00:00Z application\n2026-11-05T02:00:00Z application\n2026-11-10T02:00:00Z application\n2026-11-19T02:00:00Z application"},
	{"fewer days than asked: the oldest stays", "2026-11-20T12:00:00Z", policy.Retention{Daily: 5}, "2026-11-18T02:00:00Z application\n2026-11-18T14:00:00Z application\n2026-11-19T02:00:00Z application"},
	{"hours", "2026-11-20T12:00:00Z", policy.Retention{Hourly: 3}, every(20*time.Minute, 12, "2026-11-20T11:40:00Z")},
	{"weeks by ISO", "2026-11-20T12:00:00Z", policy.Retention{Weekly: 3}, every(2*day, 14, "2026-11-20T02:00:00Z")},
	{"a week that is of two years", "2027-01-05T12:00:00Z", policy.Retention{Weekly: 3}, "2026-12-27T02:00:00Z application\n2026-12-31T02:00:00Z application\n2027-01-01T02:00:00Z application\n2027-01-03T02:00:00Z application\n2027-01-04T02:00:00Z application"},
	{"the 53rd week", "2027-01-10T12:00:00Z", policy.Retention{Weekly: 2}, "2026-12-28T02:00:00Z application\n2027-01-02T02:00:00Z application\n2027-01-09T02:00:00Z application"},
	{"months", "2026-11-20T12:00:00Z", policy.Retention{Monthly: 3}, every(10*day, 12, "2026-11-20T02:00:00Z")},
	{"years", "2026-11-20T12:00:00Z", policy.Retention{Yearly: 2}, every(150*day, 7, "2026-11-20T02:00:00Z")},
	{"all of them", "2026-11-20T12:00:00Z", policy.Retention{Last: 2, Daily: 3, Weekly: 2, Monthly: 2, Yearly: 2}, every(4*day, 40, "2026-11-20T02:00:00Z")},
	{"a leap day", "2028-03-02T12:00:00Z", policy.Retention{Daily: 3}, every(day, 5, "2028-03-01T02:00:00Z")},
	{"a year before a leap day", "2028-02-29T12:00:00Z", policy.Retention{Within: policy.Age{Years: 1}}, "2027-02-28T13:00:00Z application\n2027-03-01T11:00:00Z application\n2027-03-01T13:00:00Z application\n2028-02-29T02:00:00Z application"},
	{"the year without the day", "2028-03-01T12:00:00Z", policy.Retention{Monthly: 2}, "2028-01-31T02:00:00Z application\n2028-02-29T02:00:00Z application\n2028-03-01T02:00:00Z application"},
	{"the day that is 23 hours long", "2026-03-30T12:00:00Z", policy.Retention{Daily: 3, Timezone: "Europe/Berlin"}, every(12*time.Hour, 7, "2026-03-30T00:30:00Z")},
	{"the day that is 25 hours long", "2026-10-26T12:00:00Z", policy.Retention{Daily: 3, Timezone: "Europe/Berlin"}, every(12*time.Hour, 7, "2026-10-26T00:30:00Z")},
	{"the hour that comes twice is two hours", "2026-10-25T05:00:00Z", policy.Retention{Hourly: 4, Timezone: "Europe/Berlin"}, every(30*time.Minute, 8, "2026-10-25T02:30:00Z")},
	{"the hour that does not come", "2026-03-29T05:00:00Z", policy.Retention{Hourly: 3, Timezone: "Europe/Berlin"}, every(30*time.Minute, 8, "2026-03-29T02:30:00Z")},
	{"the same moments are other days elsewhere", "2026-11-20T12:00:00Z", policy.Retention{Daily: 2, Timezone: "America/New_York"}, every(6*time.Hour, 8, "2026-11-20T03:00:00Z")},
	{"a day that a country skipped", "2012-01-02T12:00:00Z", policy.Retention{Daily: 3, Timezone: "Pacific/Apia"}, every(12*time.Hour, 8, "2012-01-01T12:00:00Z")},
	{"an offset in the time is only another way to write it", "2026-11-20T12:00:00Z", policy.Retention{Daily: 1}, "2026-11-19T23:30:00-05:00 application\n2026-11-20T03:00:00Z application"},
	{"a clock that is ahead", "2026-11-20T12:00:00Z", policy.Retention{Last: 1}, "2026-11-19T02:00:00Z application\n2026-11-20T02:00:00Z application\n2026-11-20T13:00:00Z application"},
	{"a clock that is years ahead does not push the others out", "2026-11-20T12:00:00Z", policy.Retention{Daily: 2}, "2026-11-18T02:00:00Z application\n2026-11-19T02:00:00Z application\n2029-01-01T02:00:00Z application"},
	{"two at one moment", "2026-11-20T12:00:00Z", policy.Retention{Last: 1}, "2026-11-20T02:00:00Z application\n2026-11-20T02:00:00Z filesystem"},
	{"a degraded one does not take a good one's place", "2026-11-20T12:00:00Z", policy.Retention{Daily: 2}, "2026-11-18T02:00:00Z application\n2026-11-19T02:00:00Z application\n2026-11-19T14:00:00Z crash\n2026-11-20T02:00:00Z filesystem"},
	{"the newest of which most was proved stays", "2026-11-20T12:00:00Z", policy.Retention{Last: 2}, "2026-10-01T02:00:00Z application\n2026-10-02T02:00:00Z filesystem\n2026-11-18T02:00:00Z crash\n2026-11-19T02:00:00Z crash\n2026-11-20T02:00:00Z crash"},
	{"failed ones fill nothing, and go after a day", "2026-11-20T12:00:00Z", policy.Retention{Last: 1}, "2026-11-17T02:00:00Z application\n2026-11-18T02:00:00Z crash error\n2026-11-20T02:00:00Z crash error"},
	{"only failed ones", "2026-11-20T12:00:00Z", policy.Retention{Last: 1}, "2026-11-17T02:00:00Z crash error\n2026-11-18T02:00:00Z crash error"},
	{"pending ones stay", "2026-11-20T12:00:00Z", policy.Retention{Last: 1}, "2026-11-10T02:00:00Z application pending\n2026-11-19T02:00:00Z application\n2026-11-20T11:00:00Z application pending"},
	{"not judged yet, and never judged", "2026-11-20T12:00:00Z", policy.Retention{Last: 1}, "2026-11-10T02:00:00Z crash unjudged\n2026-11-19T02:00:00Z application\n2026-11-20T11:00:00Z crash unjudged"},
	{"judged by nobody", "2026-11-20T12:00:00Z", policy.Retention{Last: 1}, "2026-11-10T02:00:00Z none\n2026-11-19T02:00:00Z application"},
	{"one member is missing", "2026-11-20T12:00:00Z", policy.Retention{Last: 1}, "2026-11-19T02:00:00Z application\n2026-11-20T02:00:00Z application torn"},
	{"how many there were is not known", "2026-11-20T12:00:00Z", policy.Retention{Last: 1}, "2026-11-19T02:00:00Z application\n2026-11-20T02:00:00Z application unsized"},
	{"locked, shared, used by an image", "2026-11-20T12:00:00Z", policy.Retention{Last: 1}, "2026-11-10T02:00:00Z application held=locked_until_2027-01-01\n2026-11-11T02:00:00Z application held=shared_with_123456789012\n2026-11-12T02:00:00Z application held=used_by_ami-1 held=locked\n2026-11-13T02:00:00Z application\n2026-11-20T02:00:00Z application"},
	{"somebody else's", "2026-11-20T12:00:00Z", policy.Retention{Last: 1}, "2026-11-10T02:00:00Z application foreign\n2026-11-20T02:00:00Z application\n2026-11-20T03:00:00Z application foreign"},
	{"under test", "2026-11-20T12:00:00Z", policy.Retention{Last: 1}, "2026-11-10T02:00:00Z application test=VALIDATING\n2026-11-20T02:00:00Z application"},
	{"the newest that was restored and checked stays", "2026-11-20T12:00:00Z", policy.Retention{Last: 1}, "2026-11-08T02:00:00Z application test=SUCCESSFUL\n2026-11-10T02:00:00Z application test=SUCCESSFUL\n2026-11-19T02:00:00Z application\n2026-11-20T02:00:00Z application"},
	{"one whose test failed is no good one", "2026-11-20T12:00:00Z", policy.Retention{Last: 1}, "2026-11-18T02:00:00Z application\n2026-11-19T02:00:00Z application\n2026-11-20T02:00:00Z application test=FAILED"},
	{"two instances", "2026-11-20T12:00:00Z", policy.Retention{Last: 1}, "2026-11-18T02:00:00Z application on=i-1\n2026-11-19T02:00:00Z application on=i-2\n2026-11-19T03:00:00Z application on=i-1\n2026-11-20T02:00:00Z application on=i-2"},
	{"an instance that is gone keeps its last good one", "2026-11-20T12:00:00Z", policy.Retention{Within: policy.Age{Days: 30}}, "2025-01-01T02:00:00Z application on=i-gone\n2025-01-02T02:00:00Z application on=i-gone\n2026-11-20T02:00:00Z application on=i-1"},
	{"two policies of one instance", "2026-11-20T12:00:00Z", policy.Retention{Last: 1}, "2026-11-18T02:00:00Z application policy=a\n2026-11-19T02:00:00Z application policy=b\n2026-11-19T03:00:00Z application policy=a\n2026-11-20T02:00:00Z application policy=b"},
	{"a deletion that has begun is finished, and fills no day", "2026-11-20T12:00:00Z", policy.Retention{Daily: 2}, "2026-11-17T02:00:00Z application\n2026-11-18T02:00:00Z application\n2026-11-19T02:00:00Z application marked\n2026-11-20T02:00:00Z application"},
	{"a deletion that has begun, and half of it is gone", "2026-11-20T12:00:00Z", policy.Retention{Last: 1}, "2026-11-18T02:00:00Z application marked torn\n2026-11-20T02:00:00Z application"},
	{"a deletion that has begun of what is now the only good one", "2026-11-20T12:00:00Z", policy.Retention{Last: 1}, "2026-11-17T02:00:00Z application marked\n2026-11-18T02:00:00Z application marked\n2026-11-20T02:00:00Z crash error"},
	{"a deletion that has begun of what is locked since", "2026-11-20T12:00:00Z", policy.Retention{Last: 1}, "2026-11-18T02:00:00Z application marked torn held=locked\n2026-11-20T02:00:00Z application"},
	{"a deletion that has begun under a policy that has no retention any more", "2026-11-20T12:00:00Z", policy.Retention{}, "2026-11-18T02:00:00Z application marked\n2026-11-19T02:00:00Z application marked torn\n2026-11-20T02:00:00Z application"},
	{"copies", "2026-11-20T12:00:00Z", policy.Retention{Last: 2}, "2026-11-17T02:00:00Z application copied=1h\n2026-11-18T02:00:00Z application copied=1h\n2026-11-19T02:00:00Z application copied=1h"},
	{"a copy of a moment ago that is not whole", "2026-11-20T12:00:00Z", policy.Retention{Last: 1}, "2026-11-19T02:00:00Z application copied=1h\n2026-11-20T02:00:00Z crash unjudged torn copied=9h"},
	{"a copy that waits for its verdict", "2026-11-20T12:00:00Z", policy.Retention{Last: 1}, "2026-11-18T02:00:00Z application copied=1h\n2026-11-19T02:00:00Z crash unjudged copied=30h"},
	{"a copy that nothing finishes", "2026-11-20T12:00:00Z", policy.Retention{Last: 1}, "2026-11-17T02:00:00Z application copied=1h\n2026-11-18T02:00:00Z crash unjudged torn copied=1h"},
	{"an old set that was copied just now", "2026-11-20T12:00:00Z", policy.Retention{Last: 1}, "2026-10-01T02:00:00Z crash unjudged torn copied=1209h\n2026-11-19T02:00:00Z application copied=1h"},
	{"a copy that failed, today and long ago", "2026-11-20T12:00:00Z", policy.Retention{Last: 1}, "2026-11-16T02:00:00Z crash error copied=1h\n2026-11-17T02:00:00Z crash error copied=80h\n2026-11-18T02:00:00Z application copied=1h"},
	{"second copies, today's and an older one", "2026-11-20T12:00:00Z", policy.Retention{Last: 9}, "2026-11-18T02:00:00Z application copied=1h\n2026-11-18T02:00:00Z application spare copied=3h\n2026-11-20T02:00:00Z application spare copied=3h\n2026-11-20T02:00:00Z application copied=1h"},
	{"the last good copy stays", "2026-11-20T12:00:00Z", policy.Retention{Within: policy.Age{Days: 1}}, "2026-10-01T02:00:00Z application copied=1h\n2026-10-02T02:00:00Z application copied=1h\n2026-10-03T02:00:00Z application torn copied=1h"},
	{"in no order", "2026-11-20T12:00:00Z", policy.Retention{Last: 2}, "2026-11-19T02:00:00Z application\n2026-11-17T02:00:00Z application\n2026-11-20T02:00:00Z application\n2026-11-18T02:00:00Z application"},
}
