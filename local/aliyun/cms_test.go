package aliyun_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/quiesce/quiesce/local/aliyun"
)

// metrics are n of a call, the first of them changed.
func metrics(n int, change ...string) (with []string) {
	for i := range n {
		at := fmt.Sprintf("MetricList.%d.", i+1)
		with = append(with, at+"MetricName", "FrozenWindow", at+"GroupId", "0", at+"Type", "0", at+"Values", `{"value":1}`,
			at+"Dimensions", `{"policy":"gold"}`, at+"Time", "1700000000000")
	}
	for i := 0; i < len(change); i += 2 {
		with = append(with, "MetricList.1."+change[i], change[i+1])
	}
	return with
}

// CloudMonitor says no in its answer, with the status of success; then nothing of
// the call is taken.
func TestCustomMetricsLimits(t *testing.T) {
	in(t, aliyun.Config{}, func(w *world) {
		long := func(n int) string { return strings.Repeat("x", n) }
		dimensions := func(n int) string {
			var all []string
			for i := range n {
				all = append(all, fmt.Sprintf(`"d%d":"v"`, i))
			}
			return "{" + strings.Join(all, ",") + "}"
		}
		for _, c := range []struct {
			name string
			with []string
			want string // a word of the refusal
		}{
			{"as it should be", metrics(1), ""},
			{"twenty-one", metrics(21), ""},
			{"twenty-two", metrics(22), "MetricList"},
			{"none", nil, "MetricList"},
			{"a name of 64", metrics(1, "MetricName", long(64)), ""},
			{"a longer name", metrics(1, "MetricName", long(65)), "MetricName"},
			{"a name that begins with a digit", metrics(1, "MetricName", "1x"), "MetricName"},
			{"a name with a dash", metrics(1, "MetricName", "a-b"), "MetricName"},
			{"no group", metrics(1, "GroupId", ""), "GroupId"},
			{"another type", metrics(1, "Type", "2"), "Type"},
			{"an aggregate without a period", metrics(1, "Type", "1"), "Period"},
			{"an aggregate of two minutes", metrics(1, "Type", "1", "Period", "120"), "Period"},
			{"an aggregate of five", metrics(1, "Type", "1", "Period", "300"), ""},
			{"values that are no numbers", metrics(1, "Values", `{"value":"1"}`), "Values"},
			{"no values", metrics(1, "Values", `{}`), "Values"},
			{"ten dimensions", metrics(1, "Dimensions", dimensions(10)), ""},
			{"eleven", metrics(1, "Dimensions", dimensions(11)), "Dimensions"},
			{"a dimension with an equals sign", metrics(1, "Dimensions", `{"policy":"a=b"}`), "Dimensions"},
			{"a dimension with an ampersand", metrics(1, "Dimensions", `{"policy":"a&b"}`), "Dimensions"},
			{"a dimension with a comma", metrics(1, "Dimensions", `{"policy":"a,b"}`), "Dimensions"},
			{"no time", metrics(1, "Time", "now"), "Time"},
			{"one of two that is wrong", metrics(2, "Type", "2"), "Type"},
		} {
			before := len(w.CMS.Metrics())
			a := w.call("PutCustomMetric", c.with...)
			code := map[bool]string{true: "200", false: "400"}[c.want == ""]
			if a.status != 200 || a.text("Code") != code || !strings.Contains(a.text("Message"), c.want) {
				t.Errorf("%s: got %v, want %s of %q", c.name, a.doc, code, c.want)
			}
			if taken := len(w.CMS.Metrics()) > before; taken != (c.want == "") {
				t.Errorf("%s: taken %v", c.name, taken)
			}
		}
	})
}
